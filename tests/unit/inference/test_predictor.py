"""From a checkpoint to a bundle and back to text: offsets, refusals, and the two engines against each other."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from export.graph import VerificationError, export_bundle
from export.verify import verify
from tablert_dist.config import ExportConfig, PredictConfig
from tablert_dist.errors import InputError
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model.checkpoint import load_checkpoint, save_checkpoint
from tablert_dist.text import split_words
from tests.support.tiny import WORDS, write_tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tiny_encoder, tmp_path_factory.mktemp("run") / "epoch_001")


SENTENCES = [WORDS[:n] for n in (1, 2, 5, 12)] + [["at"], ["Ada", "near", "Oslo", "."] * 6]


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "bundle"
    report = export_bundle(checkpoint, out, ExportConfig(), SENTENCES)
    assert report.failures == [] and report.sentences == len(SENTENCES) == report.identical + report.ties
    assert report.entities > 3 and report.relations > 3, "the comparison is about something"
    return out


def test_a_bundle_is_complete_and_names_its_contract(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert set(manifest["files"]) == {p.name for p in bundle.iterdir()} - {"manifest.json"}
    graph = onnx.load(str(bundle / "table.onnx"))
    assert [o.version for o in graph.opset_import if o.domain == ""] == [20]
    axes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.graph.input}
    assert axes["word_subwords"] == ["batch", "words", "pieces"]
    assert "subwords" in axes["input_ids"]


def test_torch_and_onnx_extract_the_same(checkpoint: Path, bundle: Path) -> None:
    texts = [" ".join(words) for words in SENTENCES] + ["", "  \n", "Acme, near Tromsø!"]
    ours = [e.to_json() for e in Predictor.load(checkpoint).predict(texts)]
    theirs = [e.to_json() for e in Predictor.load(bundle).predict(texts)]
    assert len(ours) == len(texts)
    for a, b in zip(ours, theirs, strict=True):
        assert [(e["start"], e["end"], e["type"]) for e in a["entities"]] == [
            (e["start"], e["end"], e["type"]) for e in b["entities"]
        ]
        assert [(r["head"], r["tail"], r["type"]) for r in a["relations"]] == [
            (r["head"], r["tail"], r["type"]) for r in b["relations"]
        ]
        for one, other in zip(a["entities"] + a["relations"], b["entities"] + b["relations"], strict=True):
            assert one["probability"] == pytest.approx(other["probability"], abs=1e-4)
    assert ours[-2] == {
        "text": "  \n", "entities": [], "relations": [], "complete": True, "all_pairs": True,
        **dict.fromkeys(("words", "words_read", "sentences", "windows"), 0),
    }  # fmt: skip
    assert any(r["relations"] for r in ours)


@given(st.text(max_size=80))
def test_word_offsets_are_the_texts_own(text: str) -> None:
    done = 0
    for start, end in split_words(text):
        assert text[start:end].strip()
        assert not text[done:start].strip(), "only white space lies between words"
        done = end
    assert not text[done:].strip()


def test_entities_carry_their_text(bundle: Path) -> None:
    text = "Ada\tBo  works\r\nat Acme (Oslo), near 👩‍🚀 Tromsø…"
    (found,) = Predictor.load(bundle).predict([text])
    for entity in found.to_json()["entities"]:
        assert text[entity["start"] : entity["end"]] == entity["text"] != ""
    assert found.to_json()["words_read"] == len(split_words(text))


def test_no_torch_is_loaded_to_predict_from_a_bundle(bundle: Path) -> None:
    code = (
        "import sys; from tablert_dist import Predictor; "
        f"Predictor.load({str(bundle)!r}).predict(['Ada works at Acme .']); "
        "print(*sorted({'torch', 'ray', 'transformers', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


LONG = ["Ada", "works", "at", "Acme", "near", "Oslo", "and"] * 40


def read_long(bundle: Path, way: str) -> dict[str, object]:
    predictor = Predictor.load(bundle, PredictConfig(on_overflow=way))
    return predictor.predict([" ".join(LONG)])[0].to_json()


def test_a_text_over_the_limit_is_read_by_windows_or_refused_or_truncated(bundle: Path) -> None:
    with pytest.raises(InputError, match=r"over the encoder's limit of 64.*predict.on_overflow = window"):
        read_long(bundle, "error")
    whole, cut = read_long(bundle, "window"), read_long(bundle, "truncate")
    assert whole["words"] == whole["words_read"] == len(LONG) == cut["words"]
    assert whole["windows"] > 5 and not whole["all_pairs"] and not whole["complete"], "far entities share no window"
    assert 30 < cut["words_read"] <= 62 and not cut["complete"], "64 less the two special tokens"
    ends = [e["end"] for e in whole["entities"]]
    assert max(ends) > len(" ".join(LONG)) - 40 > max(e["end"] for e in cut["entities"])
    spans = [(e["start"], e["end"]) for e in whole["entities"]]
    assert spans == sorted(spans) and all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def test_a_document_of_20_000_words(bundle: Path) -> None:
    text = ("Ada works at Acme near Oslo.\r\n\tBo 👩‍🚀 near the harbour! " * 1600).strip()
    found = Predictor.load(bundle).predict([text])[0].to_json()
    assert found["words"] == found["words_read"] >= 20_000 and found["sentences"] > 3000 and found["complete"]
    for entity in found["entities"]:
        assert text[entity["start"] : entity["end"]] == entity["text"]
    assert len(found["entities"]) > 1000


def test_thresholds_drop_what_is_unsure(bundle: Path) -> None:
    text = " ".join(WORDS)
    everything = Predictor.load(bundle).predict([text])[0].to_json()
    probabilities = sorted(e["probability"] for e in everything["entities"])
    least = probabilities[len(probabilities) // 2]
    sure = Predictor.load(bundle, PredictConfig(min_entity=least)).predict([text])[0].to_json()
    assert [e["probability"] for e in sure["entities"]] == [
        p for e in everything["entities"] if (p := e["probability"]) >= least
    ]
    kind = everything["relations"][0]["type"]
    without = Predictor.load(bundle, PredictConfig(thresholds={kind: 1.0})).predict([text])[0].to_json()
    assert all(r["type"] != kind or r["probability"] == 1.0 for r in without["relations"])
    with pytest.raises(InputError, match="no type 'Perr'; did you mean 'Per'"):
        Predictor.load(bundle, PredictConfig(thresholds={"Perr": 0.5}))


@pytest.mark.parametrize("name", ["table.onnx", "tokenizer.json", "schema.json", "config.json", "report.json"])
@pytest.mark.parametrize("damage", ["missing", "altered"])
def test_a_damaged_bundle_is_refused(bundle: Path, tmp_path: Path, name: str, damage: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    if damage == "missing":
        (copy / name).unlink()
    else:
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(bytes(data))
    with pytest.raises(InputError, match=f"{name} (is missing|was altered)"):
        Predictor.load(copy)


def test_a_manifest_that_is_missing_or_cut_is_said(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    (copy / "manifest.json").write_text((copy / "manifest.json").read_text()[:90])
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        Predictor.load(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(InputError, match="neither a bundle"):
        Predictor.load(copy)


def test_a_bundle_cannot_name_files_outside_itself(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["../secret"] = "0" * 64
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="names a file outside"):
        Predictor.load(copy)


@pytest.mark.parametrize("name", ["checkpoint.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_checkpoint_is_refused(checkpoint: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    (copy / name).write_bytes((copy / name).read_bytes()[:-40])
    with pytest.raises(InputError):
        Predictor.load(copy)
    (copy / name).unlink()
    with pytest.raises(InputError, match=name if name != "checkpoint.json" else "neither"):
        Predictor.load(copy)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_cuda_demanded_where_there_is_none_is_refused(bundle: Path, checkpoint: Path) -> None:
    for folder in (bundle, checkpoint):
        with pytest.raises(InputError, match=r"predict\.provider = cuda"):
            Predictor.load(folder, PredictConfig(provider="cuda"))
        assert Predictor.load(folder, PredictConfig(provider="auto")).predict(["Ada"])


def test_an_export_that_computes_something_else_fails_and_leaves_nothing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph of other weights is put in the place of the right one."""
    import export.graph

    honest = export.graph.export_graph

    def wrong(model: torch.nn.Module, path: Path, opset: int, stage: str) -> None:
        with torch.no_grad():
            model.head.pair.bias.add_(0.01)
        honest(model, path, opset, stage)
        with torch.no_grad():
            model.head.pair.bias.sub_(0.01)

    monkeypatch.setattr(export.graph, "export_graph", wrong)
    with pytest.raises(VerificationError, match="logits differ by"):
        export_bundle(checkpoint, tmp_path / "out", ExportConfig(), SENTENCES)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_overwritten(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists"):
        export_bundle(checkpoint, tmp_path, ExportConfig(), SENTENCES)


def test_verification_sees_a_fixed_axis_and_a_missing_output(checkpoint: Path, bundle: Path, tmp_path: Path) -> None:
    model, card = load_checkpoint(checkpoint)
    proto = onnx.load(str(bundle / "table.onnx"))
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(proto, str(tmp_path / "fixed.onnx"))
    report = verify(model, card, {"table": tmp_path / "fixed.onnx"}, 1e-4, SENTENCES)
    assert any("fixes an axis of input_ids" in failure for failure in report.failures)


def test_a_saved_model_is_the_same_model(checkpoint: Path, tmp_path: Path) -> None:
    model, card = load_checkpoint(checkpoint)
    save_checkpoint(tmp_path / "again", model, card, {"epoch": 1, "optimizer": {}})
    other, again = load_checkpoint(tmp_path / "again")
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert (again.schema, again.pad_id, again.tokenizer.limit) == (card.schema, card.pad_id, card.tokenizer.limit)
    assert np.array_equal(again.tokenizer.encode([["Ada"]])[0].ids, card.tokenizer.encode([["Ada"]])[0].ids)


def test_one_text_gives_one_result(bundle: Path) -> None:
    predictor = Predictor.load(bundle)
    (expected,) = predictor.predict(["Ada works at Acme ."])
    assert predictor.predict("Ada works at Acme .").to_json() == expected.to_json()
    assert predictor.predict("").to_json()["entities"] == []


def test_a_path_that_does_not_exist_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere does not exist: give the folder"):
        Predictor.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is neither a bundle"):
        Predictor.load(tmp_path)
