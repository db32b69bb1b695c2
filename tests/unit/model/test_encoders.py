"""Any encoder: what works is trained and read at its limit, what does not is refused before its weights are loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tablert_dist.config import load_config, public_config
from tablert_dist.errors import InputError
from tablert_dist.model import build_model
from tablert_dist.model.check import check_encoder
from tablert_dist.model.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from tablert_dist.model.encoder import load_encoder
from tablert_dist.model.probe import freeze_unread, position_table, positions_of
from tablert_dist.tags import TagSet
from tablert_dist.train.fit import check, fit
from tests.support.families import AFTER, DOCUMENT, FAMILIES, REFUSED, try_family, write_family
from tests.support.tiny import SCHEMA, tiny_records, write_corpus

EXPORTED = ["distilbert", "modernbert"]
EXPORTED_TOO = ["albert", "deberta-v2", "eurobert", "mpnet", "roformer"]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_trained_and_read_at_its_limit(name: str, tmp_path: Path) -> None:
    tried = try_family(name, tmp_path, export=False)
    assert not tried.train
    assert tried.limit == (64 if FAMILIES[name].get("pad_token_id") == 1 and name != "esm" else 66)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*EXPORTED, *(pytest.param(name, marks=pytest.mark.long) for name in EXPORTED_TOO)])
def test_a_family_is_exported_and_finds_the_same(name: str, tmp_path: Path) -> None:
    assert try_family(name, tmp_path, export=True).export == ""


def test_the_page_has_a_row_for_each() -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    rows = [line.split("|")[1:4] for line in page.splitlines() if line.startswith("| `") and "yes" in line]
    assert [kind.strip(" `") for kind, *_ in rows] == list(FAMILIES), "make families"
    assert sum(train.strip() == export.strip() == "yes" for _, train, export in rows) >= 22


REASONS = {
    **dict.fromkeys(("bart", "led", "t5"), "with a decoder"),
    **dict.fromkeys(("canine", "fnet"), "padding beside a sentence"),
    **dict.fromkeys(("gpt2", "longformer", "xlnet"), "could not be exported"),
    "xmod": "language",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_before_its_weights_are_read(name: str, tmp_path: Path) -> None:
    write_family(name, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=rf"^encoder '.*' \({name}\).*{REASONS[name]}.*take another"):
        check_encoder(str(tmp_path))


def test_every_refused_family_has_its_reason() -> None:
    page = DOCUMENT.read_text(encoding="utf-8").partition("Refused:")[2].lower().replace("-", "")
    assert all(name in page for name in REFUSED)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_are_read_in_full(stored: torch.dtype, tiny_encoder: str, tmp_path: Path) -> None:
    from transformers import AutoModel

    encoder = tmp_path / "half"
    shutil.copytree(tiny_encoder, encoder)
    AutoModel.from_pretrained(tiny_encoder).to(stored).save_pretrained(encoder)
    assert json.loads((encoder / "config.json").read_text())["dtype"] == str(stored).partition(".")[2]
    parts = load_encoder(str(encoder))
    assert {p.dtype for p in parts.transformer.parameters()} == {torch.float32}
    config = load_config(None, {"model.encoder": str(encoder), "model.cnn.hidden": [8]})
    model = build_model(config.model, parts, TagSet(SCHEMA)).eval()
    save_checkpoint(
        tmp_path / "checkpoint", model, ModelCard(public_config(config), SCHEMA, parts.tokenizer, parts.pad_id, {})
    )
    # A checkpoint of before may say half in its encoder's configuration.
    read, _ = load_checkpoint(tmp_path / "checkpoint")
    for (name, ours), theirs in zip(read.state_dict().items(), model.state_dict().values(), strict=True):
        assert ours.dtype == torch.float32 and torch.equal(ours, theirs), name


@pytest.mark.parametrize("name", [name for name, keys in FAMILIES.items() if keys is AFTER])
def test_positions_start_behind_the_padding_as_the_table_says(name: str, tmp_path: Path) -> None:
    """No list of names: the padding's id is moved, and the limit with it."""
    write_family(name, tmp_path)
    tree = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**tree, "pad_token_id": 4}))
    transformer = load_encoder(str(tmp_path)).transformer
    first = position_table(transformer).padding_idx + 1  # type: ignore[union-attr, operator]
    assert positions_of(transformer).first == first == (2 if name == "mpnet" else 5), "MPNet's is fixed"
    assert check_encoder(str(tmp_path)).tokenizer.limit == 66 - first


def test_a_limit_that_is_not_stated_is_512(tmp_path: Path) -> None:
    write_family("deberta-v2", tmp_path)
    tree = json.loads((tmp_path / "config.json").read_text())
    del tree["max_position_embeddings"]
    (tmp_path / "config.json").write_text(json.dumps({**tree, "position_biased_input": False}))
    assert check_encoder(str(tmp_path)).tokenizer.limit == 512


def test_looking_draws_nothing_from_the_callers_random_state(tiny_encoder: str) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    check_encoder(tiny_encoder)
    freeze_unread(load_encoder(tiny_encoder).transformer)
    assert torch.equal(torch.rand(3), expected)


def test_parameters_that_no_text_reaches_take_no_gradient(tmp_path: Path) -> None:
    write_family("luke", tmp_path)
    parts = load_encoder(str(tmp_path))
    config = load_config(None, {"model.encoder": str(tmp_path), "model.cnn.hidden": [8]})
    model = build_model(config.model, parts, TagSet(SCHEMA))
    still = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert still and all("entity" in name or "w2e" in name or "e2" in name for name in still)
    frozen = load_config(None, {"model.encoder": str(tmp_path), "model.cnn.hidden": [8], "model.frozen": True})
    assert build_model(frozen.model, load_encoder(str(tmp_path)), TagSet(SCHEMA)).head.entity.weight.requires_grad


def without_tokenizer(encoder: Path) -> None:
    (encoder / "tokenizer.json").unlink()


def words_alone(encoder: Path) -> None:
    without_tokenizer(encoder)
    (encoder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")


def cased(encoder: Path) -> None:
    without_tokenizer(encoder)
    words = [f"Word{i}" for i in range(60)] + [f"word{i}" for i in range(60)]
    (encoder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))


def larger(encoder: Path) -> None:
    tree = json.loads((encoder / "tokenizer.json").read_text())
    tree["model"]["vocab"] |= {f"more{i}": len(tree["model"]["vocab"]) + i for i in range(5)}
    (encoder / "tokenizer.json").write_text(json.dumps(tree))


def sentencepiece(encoder: Path) -> None:
    without_tokenizer(encoder)
    (encoder / "spm.model").write_bytes(b"\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (without_tokenizer, "has no tokenizer: none of tokenizer.json, vocab.txt"),
        (words_alone, "has no tokenizer of its own: its vocabulary is 5 subwords"),
        (cased, "has a cased vocabulary .60 of 120 subwords have capitals.*do_lower_case"),
        (larger, "has a tokenizer of another model: it gives ids up to 153, the encoder knows 149"),
        (
            sentencepiece,
            "has its vocabulary in spm.model alone, which takes a package to read: pip install sentencepiece",
        ),
    ],
)
def test_a_tokenizer_that_is_not_the_encoders_own_is_refused(
    damage: Any, reason: str, tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tablert_dist.model.check.find_spec", lambda name: None)
    encoder = tmp_path / "encoder"
    shutil.copytree(tiny_encoder, encoder)
    damage(encoder)
    with pytest.raises(InputError, match=f"^encoder '.*' {reason}"):
        check_encoder(str(encoder))


@pytest.mark.parametrize(("strange", "refused"), [(2, False), (12, True)])
def test_words_that_the_encoder_cannot_read_are_said_or_refused(
    strange: int, refused: bool, tiny_encoder: str, tmp_path: Path
) -> None:
    records = tiny_records(12)
    for record in records[:strange]:
        record["tokens"] = ["東京" for _ in record["tokens"]]  # type: ignore[attr-defined]
    write_corpus(tmp_path / "data", {"train": records, "dev": records})
    config = load_config(None, {"data.path": str(tmp_path / "data"), "model.encoder": tiny_encoder})
    lines: list[str] = []
    if refused:
        with pytest.raises(
            InputError, match=r"has no subwords for 102 of 102 words of train: its tokenizer is damaged"
        ):
            check(config, lines.append)
        return
    check(config, lines.append)
    assert any("has no subwords for 13 of 102 words of train: it reads each as the same" in line for line in lines)


@pytest.mark.parametrize(("entity_from", "said"), [("relation", True), ("hidden", False)])
def test_few_relation_types_are_said(entity_from: str, said: bool, tiny_encoder: str, tmp_path: Path) -> None:
    records = tiny_records(12)
    write_corpus(tmp_path / "data", {"train": records, "dev": records})
    config = load_config(
        None,
        {"data.path": str(tmp_path / "data"), "model.encoder": tiny_encoder, "model.cnn.entity_from": entity_from},
    )
    lines: list[str] = []
    check(config, lines.append)
    found = [line for line in lines if "--set model.cnn.entity_from=hidden" in line]
    assert bool(found) == said
    assert not said or found[0].startswith("2 relation types: entity tags are read from 5 numbers a word")


def test_states_that_padding_moves_a_little_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_family("convbert", tmp_path)
    with caplog.at_level("WARNING", "tablert_dist.model"):
        check_encoder(str(tmp_path))
    assert "the padding beside a sentence moves its states" in caplog.text


def test_letters_that_stand_for_bytes_are_no_capitals(tiny_encoder: str, tmp_path: Path) -> None:
    """Ġ is a capital letter, and the space of byte-level vocabularies; such a tokenizer may make letters small."""
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    path = tmp_path / "encoder" / "tokenizer.json"
    tree = json.loads(path.read_text())
    vocabulary = tree["model"]["vocab"]
    tree["model"]["vocab"] = {
        (token if token[:1] == "[" or len(token) < 2 else f"Ġ{token}"): number for token, number in vocabulary.items()
    }
    path.write_text(json.dumps(tree))
    check_encoder(str(tmp_path / "encoder"))


def test_an_encoder_is_refused_before_the_data_are_read_and_a_folder_is_made(tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    write_family("t5", tmp_path / "encoder")
    changes = {"data.path": str(tmp_path / "none"), "train.storage": str(tmp_path / "runs"), "cluster.num_workers": 0}
    config = load_config(None, {"model.encoder": str(tmp_path / "encoder"), **changes})
    with pytest.raises(InputError, match="with a decoder"):
        fit(config, "r")
    assert not (tmp_path / "runs").exists()
