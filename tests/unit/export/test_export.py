"""The gates of the precisions, the bundle as one file, the pyfunc."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from export.gates import VerificationReport
from export.graph import VerificationError, export_bundle
from export.pyfunc import texts_of
from export.quantize import to_int8
from export.triton import write_repository
from export.verify import contract
from tablert_dist.config import ExportConfig, PredictConfig, load_config
from tablert_dist.errors import InputError
from tablert_dist.heads.cnn.scheme import TableScheme
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model.checkpoint import load_checkpoint, save_checkpoint
from tablert_dist.schema import Entity, Sentence
from tablert_dist.scoring import LEVELS
from tests.support.serving import make_bundle
from tests.support.tiny import write_tiny_checkpoint


def report(precision: str, **values: object) -> VerificationReport:
    made = VerificationReport(
        1e-4,
        precision,
        sentences=1000,
        identical=1000,
        max_difference=1e-5,
        entities=90,
        relations=40,
        relation_types=2,
    )
    for name, value in values.items():
        setattr(made, name, value)
    made.close()
    return made


def scores(lost: float) -> dict[str, dict[str, float]]:
    torch = {"ner": 0.8, "re": 0.6, "re_plus": 0.6}
    return {"torch": torch, "onnx": {**torch, "re_plus": torch["re_plus"] - lost}}


@pytest.mark.parametrize(
    ("precision", "values", "gate"),
    [
        ("fp32", {"max_difference": 2e-4}, "logits differ by 2.00e-04"),
        ("fp32", {"max_difference": float("nan")}, "logits differ"),
        ("fp32", {"identical": 998, "ties": 1}, "1 of 1000 sentences"),
        ("fp32", {"identical": 998, "ties": 2}, None),
        ("fp16", {"max_difference": 0.1, "identical": 995}, None),
        ("fp16", {"identical": 994}, "99.40 % of 1000 sentences"),
        ("int8", {"identical": 700, "f1": scores(0.004)}, None),
        ("int8", {"identical": 1000, "f1": scores(0.006)}, "RE+ F1 loses 0.60 points"),
        ("int8", {"identical": 1000, "f1": scores(-0.02)}, None),
    ],
)
def test_gates(precision: str, values: dict[str, object], gate: str | None) -> None:
    found = report(precision, **values)
    assert (gate is None and not found.failures) or (len(found.failures) == 1 and gate in found.failures[0])


NONE_RIGHT = {"torch": dict.fromkeys(LEVELS, 0.0), "onnx": dict.fromkeys(LEVELS, 0.0)}
ENTITIES_ONLY = {engine: {**dict.fromkeys(LEVELS, 0.0), "ner": 0.8} for engine in ("torch", "onnx")}
ANNOTATED = dict.fromkeys(LEVELS, 30)


@pytest.mark.parametrize(
    ("precision", "values", "told"),
    [
        ("fp32", {"sentences": 0, "identical": 0}, "there is no sentence"),
        ("fp16", {"sentences": 0, "identical": 0}, "there is no sentence"),
        ("fp32", {"entities": 0}, "in 1000 sentences the model finds no entity"),
        ("fp16", {"entities": 0}, "in 1000 sentences the model finds no entity"),
        ("fp32", {"f1": NONE_RIGHT, "gold": ANNOTATED}, r"finds none of the annotated entities \(F1 0\.00\)"),
        ("fp16", {"f1": NONE_RIGHT, "gold": ANNOTATED}, "none of the annotated entities"),
        ("int8", {"f1": NONE_RIGHT, "gold": ANNOTATED}, "none of the annotated entities"),
        ("int8", {"f1": NONE_RIGHT}, r"nothing that is right, NER and RE and RE\+ F1 0\.00"),
        ("int8", {"f1": ENTITIES_ONLY, "gold": ANNOTATED}, r"RE and RE\+ F1 0\.00"),
        ("int8", {"f1": ENTITIES_ONLY, "gold": ANNOTATED, "relation_types": 0}, None),
        ("fp16", {"relations": 0}, "finds no relation"),
        ("fp16", {"relations": 0, "relation_types": 0}, None),
        ("fp32", {"relations": 0}, None),
        ("fp32", {"f1": ENTITIES_ONLY, "gold": ANNOTATED}, None),
    ],
)
def test_a_gate_that_compared_nothing_does_not_pass(
    precision: str, values: dict[str, object], told: str | None
) -> None:
    found = [line for line in report(precision, **values).failures if line.startswith("nothing was compared: ")]
    assert len(found) == (told is not None)
    for line in found:
        assert re.search(str(told), line)
        assert all(way in line for way in ("--verify-data FILE", "train longer", "--allow REASON", "export.allow"))


@pytest.mark.long
def test_an_export_of_a_model_that_finds_nothing_says_what_to_do(tiny_encoder: str, tmp_path: Path) -> None:
    """The gold sentences are annotated, and both engines find nothing in them: 0.00 is not 0.00 kept."""
    checkpoint = write_tiny_checkpoint(tiny_encoder, tmp_path / "checkpoint")
    model, card = load_checkpoint(checkpoint)
    with torch.no_grad():
        model.head.entity.weight.zero_()
        model.head.entity.bias.copy_(torch.eye(len(model.head.entity.bias))[0])
    silent = tmp_path / "silent"
    save_checkpoint(silent, model, card)
    gold = [Sentence(("Ada", "near", "Oslo"), (Entity(0, 1, "Per"),), ())]
    for precision, sentences in (("fp32", gold), ("fp16", []), ("fp32", None)):
        with pytest.raises(VerificationError, match=r"nothing was compared: .*--verify-data FILE"):
            export_bundle(silent, tmp_path / "out", ExportConfig(precision=precision), gold=sentences)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
    config = ExportConfig(allow="an example of nothing")
    report = export_bundle(silent, tmp_path / "out", config, gold=gold)
    assert report.allowed["reason"] == "an example of nothing" and "no entity" in report.allowed["failures"][0]


def test_gold_over_the_encoders_limit_is_compared_as_it_is_predicted(tiny_encoder: str, tmp_path: Path) -> None:
    """A search's dev set may have such sentences, and its winner is exported: the F1 is that of prediction, by windows."""
    checkpoint = write_tiny_checkpoint(tiny_encoder, tmp_path / "checkpoint")
    limit = load_checkpoint(checkpoint)[1].tokenizer.limit
    texts = [["Ada", "works", "at", "Acme", "."] * (limit // 3), ["Bo", "left", "."]]
    found = Predictor.load(checkpoint).annotate(texts)
    assert len(texts[0]) > limit and sum(len(s.entities) for s in found) > 5
    report = export_bundle(checkpoint, tmp_path / "out", ExportConfig(), gold=found)
    assert report.f1["torch"]["ner"] == 1.0 and report.gold["ner"] == sum(len(set(s.entities)) for s in found)
    assert report.sentences > 2, "windows"


def test_what_is_allowed_stays_on_record() -> None:
    found = report("fp16", identical=900)
    found.allow("a demonstration")
    assert not found.failures and found.to_json()["allowed"]["reason"] == "a demonstration"
    assert "90.00 %" in found.to_json()["allowed"]["failures"][0]
    assert any(line.startswith("ALLOWED (a demonstration)") for line in found.lines())
    good = report("fp16")
    good.allow("nothing to allow")
    assert not good.allowed


def test_an_unknown_hub_id_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="'nobody/nothing' is no folder here and cannot be had from the hub"):
        Predictor.from_pretrained("nobody/nothing")


def test_texts_of_what_mlflow_passes() -> None:
    import pandas as pd

    assert texts_of("one") == ["one"] and texts_of(["a", "b"]) == ["a", "b"]
    assert texts_of(pd.DataFrame({"text": ["a"], "id": [1]})) == ["a"]
    assert texts_of(pd.DataFrame({0: ["a", "b"]})) == ["a", "b"]
    assert texts_of({"text": ["a", "b"]}) == texts_of({"text": [["a", "b"]]}) == texts_of([["a"], "b"]) == ["a", "b"]
    assert texts_of(pd.DataFrame({"title": ["t"], "text": ["a"]})) == ["a"]
    for table in ({"a": ["x"], "b": ["y"]}, {"title": ["x"]}):
        with pytest.raises(ValueError, match="column 'text'"):
            texts_of(pd.DataFrame(table))
    for wrong in ([1], [None], [float("nan")], ["a", {}]):
        with pytest.raises(ValueError, match=r"text \d is no string"):
            texts_of(wrong)


def test_int8_leaves_small_weights_alone(tiny_encoder: str, tmp_path: Path) -> None:
    bundle = make_bundle(tiny_encoder, tmp_path)
    to_int8(bundle / "table.onnx", tmp_path / "small.onnx")
    assert (tmp_path / "small.onnx").read_bytes() == (bundle / "table.onnx").read_bytes(), "nothing in it is large"


def test_a_triton_repository_is_what_triton_publishes(tiny_encoder: str, tmp_path: Path) -> None:
    from google.protobuf import text_format

    model_config = pytest.importorskip("tritonclient.grpc.model_config_pb2").ModelConfig
    folder = write_repository(make_bundle(tiny_encoder, tmp_path), tmp_path / "repository", "tiny")
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config())
    assert config.name == folder.name == "tiny" and config.backend == "onnxruntime"
    assert config.max_batch_size > 1 and config.HasField("dynamic_batching")
    given = {tensor.name: list(tensor.dims) for tensor in (*config.input, *config.output)}
    axes = {name: len(dims) + 1 for name, dims in given.items()}
    assert axes == contract(TableScheme().stages["table"]), "the batch is the axis that max_batch_size stands for"
    assert given["entity_logits"][-1] == 1 + 4 * 3
    assert (folder / "1" / "model.onnx").read_bytes() == (tmp_path / "bundle" / "table.onnx").read_bytes()


def test_bound_outputs_are_the_same(tiny_encoder: str, tmp_path: Path) -> None:
    bundle = make_bundle(tiny_encoder, tmp_path)
    plain, bound = Predictor.load(bundle), Predictor.load(bundle)
    bound.engine.binds = True
    words = [["Ada", "works", "at", "Acme"], ["Bo"]]
    assert [s.entities for s in plain.annotate(words)] == [s.entities for s in bound.annotate(words)]
    (ours, _), (theirs, _) = plain.probabilities(words[0]), bound.probabilities(words[0])
    assert (ours == theirs).all()
    with pytest.raises(InputError, match="CUDAExecutionProvider"):
        Predictor.load(bundle, PredictConfig(provider="cuda"))
    with pytest.raises(InputError, match=r"predict\.provider.* TensorRT is no longer offered: .*; use cuda"):
        load_config(None, {"predict.provider": "tensorrt"})
