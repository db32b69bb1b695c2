"""What is declared once: a head, a scheduler or a score level that is added in one place works, or fails loudly."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from tablert_dist import scoring
from tablert_dist.analysis.errors import examine
from tablert_dist.config import Config, DataConfig, ModelConfig, SpertConfig, flatten, load_config
from tablert_dist.config.heads import HeadOptions
from tablert_dist.data import load_corpus
from tablert_dist.data.validation import examine_path
from tablert_dist.errors import EXTRAS, InputError
from tablert_dist.heads import HEADS, head_spec, make_scheme
from tablert_dist.heads.base import lost_to_overlap
from tablert_dist.model.model import build_head
from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tablert_dist.scoring import Counts, Level, count
from tablert_dist.study import predictions
from tablert_dist.tags import TagSet
from tablert_dist.train.preflight import table_report
from tablert_dist.tune.schedulers import SCHEDULERS, make_scheduler
from tests.support import ROOT
from tests.support.tiny import write_corpus

SCHEMA = Schema(("Loc", "Per"), ("near", "works"))
NESTED = {
    "tokens": ["Port", "of", "Oslo", "near", "Ada"],
    "entities": [
        {"start": 0, "end": 3, "type": "Loc"},
        {"start": 2, "end": 3, "type": "Loc"},
        {"start": 4, "end": 5, "type": "Per"},
    ],
    "relations": [{"head": 1, "tail": 2, "type": "near"}],
}
TWICE = {
    "tokens": ["Oslo", "near", "Ada"],
    "entities": [{"start": 0, "end": 1, "type": "Loc"}, {"start": 0, "end": 1, "type": "Per"}],
    "relations": [],
}


def test_every_head_of_the_configuration_is_declared_and_built() -> None:
    assert set(get_args(ModelConfig.model_fields["head"].annotation)) == set(HEADS)
    assert set(HeadOptions.model_fields) == set(HEADS), "each has a section of its own"
    for name, spec in HEADS.items():
        config = ModelConfig(head=name)  # type: ignore[arg-type]
        assert spec.name == name
        assert build_head(config, 8, TagSet(SCHEMA)).scheme.stages.keys() == make_scheme(config).stages.keys()
        assert spec.limits(config).endswith(".")


def test_a_head_that_nobody_has_declared_is_refused() -> None:
    unknown = ModelConfig.model_construct(**{**ModelConfig().model_dump(), "head": "new"})
    for ask in (lambda: make_scheme(unknown), lambda: build_head(unknown, 8, TagSet(SCHEMA))):
        with pytest.raises(InputError, match=r"model\.head = new: no such head is declared .* cnn, tablert, spert"):
            ask()


def test_every_option_is_read_somewhere() -> None:
    """An option that only the configuration knows would be accepted and do nothing."""
    code = "\n".join(
        path.read_text("utf-8")
        for package in ("tablert_dist", "export")
        for path in (ROOT / package).rglob("*.py")
        if path.parent.name != "config" or path.name == "schedulers.py"
    )
    for key in flatten(Config()):
        assert re.search(rf"\.{key.split('.')[-1]}\b", code), f"nothing reads {key}"


def test_every_scheduler_of_the_configuration_is_declared_and_an_unknown_one_fails() -> None:
    for name in SCHEDULERS:
        assert load_config("sample", {"tune.scheduler": name}).tune.scheduler == name
    with pytest.raises(InputError, match=r"tune\.scheduler = 'new': no such scheduler; use none, asha or median"):
        load_config("sample", {"tune.scheduler": "new"})
    config = load_config("sample", {"tune.scheduler": "asha", "train.epochs": 9})
    unknown = config.model_copy(update={"tune": config.tune.model_copy(update={"scheduler": "new"})})
    with pytest.raises(KeyError, match="new"):
        make_scheduler(unknown, [])


def test_a_fourth_level_is_counted_everywhere_and_moves_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows come first in the table: code that slices it by position would read the wrong ones."""
    a, b, c = Entity(0, 1, "Per"), Entity(2, 3, "Loc"), Entity(4, 5, "Loc")
    gold = [Sentence(tuple("abcde"), (a, b), (Relation(a, b, "works"),)), Sentence(tuple("abc"), (a,), ())]
    found = [Sentence(tuple("abcde"), (a, c), (Relation(a, c, "works"),)), Sentence(tuple("abc"), (a,), ())]
    before = {level: count(zip(gold, found, strict=True), SCHEMA).of(level).copy() for level in scoring.LEVELS}
    worst = [w.errors for w in examine(gold, found, SCHEMA).worst]

    def starts(sentence: Sentence, schema: Schema) -> set[Any]:
        return {(e.type, e.start) for e in sentence.entities}

    fourth = Level("starts", "Starts", lambda schema: schema.entity_types, starts)
    specs = (fourth, *scoring.SPECS)
    monkeypatch.setattr(scoring, "SPECS", specs)
    monkeypatch.setattr(scoring, "LEVELS", tuple(level.name for level in specs))
    monkeypatch.setattr(predictions, "LEVELS", scoring.LEVELS)
    counts = count(zip(gold, found, strict=True), SCHEMA)
    for level, rows in before.items():
        assert np.array_equal(counts.of(level), rows), level
    assert counts.of("starts").tolist() == [[0, 1, 1], [2, 0, 0]]
    assert counts.scores().flat("dev")["dev/starts_f1"] == pytest.approx(2 * 2 / (2 * 2 + 2))
    assert [w.errors for w in examine(gold, found, SCHEMA).worst] == worst
    by_sentence = predictions.counts_by_sentence(gold, found, SCHEMA)
    assert by_sentence["starts"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert by_sentence["re_plus"].tolist() == [[0, 1, 1], [0, 0, 0]]
    with pytest.raises(KeyError, match="no score level 'fifth'"):
        Counts.zero(SCHEMA).of("fifth")


def corpus_of(folder: Path, *records: dict[str, Any]) -> DataConfig:
    write_corpus(folder, {"train": list(records), "dev": list(records)})
    return DataConfig(path=str(folder))


def test_what_a_head_can_hold_is_asked_of_that_head(tmp_path: Path) -> None:
    """Nested entities are refused for a table and none of SpERT's business; a span with two types is neither's."""
    nested, twice = corpus_of(tmp_path / "nested", NESTED), corpus_of(tmp_path / "twice", NESTED, TWICE)
    spert = ModelConfig(head="spert")
    for table in (None, ModelConfig(), ModelConfig(head="tablert")):
        with pytest.raises(InputError, match="overlap, which a table cannot hold"):
            load_corpus(nested, table)
    corpus = load_corpus(nested, spert)
    assert len(corpus.train[0].entities) == 3
    assert "tiny_train.json: 1 sentence has overlapping entities; SpERT holds them" in corpus.notes
    report = table_report(corpus, TagSet(corpus.schema), spert)
    assert report["train"]["total"] == 0
    assert report["train"]["oracle_re_plus_f1"] == 1.0
    assert table_report(corpus, TagSet(corpus.schema), ModelConfig())["train"]["lost"].startswith("1 overlapping")
    with pytest.raises(InputError, match=r"record 1: .*overlap, which SpERT cannot hold"):
        load_corpus(twice, spert)

    def says(config: DataConfig, model: ModelConfig) -> list[str]:
        return [f.says for f in examine_path(config, model).findings if f.check == "overlap"]

    assert says(nested, spert) == []
    assert "which a table cannot hold" in says(nested, ModelConfig())[0]
    assert "which SpERT cannot hold" in says(twice, spert)[0]


def test_a_long_entity_beside_an_overlap_is_no_overlap() -> None:
    """SpERT reads spans up to a length: what is longer is lost by its length, and counted there."""
    long, inner = Entity(0, 12, "Loc"), Entity(2, 3, "Per")
    sentence = Sentence(tuple("abcdefghijkl"), (long, inner), ())
    scheme = make_scheme(ModelConfig(head="spert", spert=SpertConfig(max_span=10)))
    assert scheme.representable(sentence, TagSet(SCHEMA))[1].entities == 1
    assert lost_to_overlap(scheme, sentence, TagSet(SCHEMA)) == 0
    assert lost_to_overlap(make_scheme(ModelConfig()), sentence, TagSet(SCHEMA)) == 1


def test_an_extra_that_is_named_in_a_sentence_brings_the_module() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    of_package = {"pyyaml": "yaml"}
    for extra, modules in EXTRAS.items():
        names = [re.match(r"[\w-]+", line)[0].lower() for line in project["optional-dependencies"][extra]]  # type: ignore[index]
        assert set(modules) <= {of_package.get(name, name.replace("-", "_")) for name in names}, extra


def test_heads_are_described_in_cards_by_their_spec() -> None:
    config: Config = load_config(None, {"model.head": "spert", "model.spert.max_span": 7})
    assert "more than 7 words" in head_spec(config.model).limits(config.model)
