"""Fitting temperatures: known ones are found again, and what tells nothing is left at 1 and said."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from tablert_dist.analysis.calibration import calibrate
from tablert_dist.analysis.fitting import ENOUGH, fit_temperatures
from tablert_dist.analysis.judged import reliability
from tablert_dist.analysis.rereading import read_at
from tablert_dist.cli import main as tablert
from tablert_dist.heads import make_scheme
from tablert_dist.heads.base import Arrays
from tablert_dist.heads.sequences import softmax
from tablert_dist.heads.temperatures import NEUTRAL, Temperatures
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model.checkpoint import read_card
from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tablert_dist.tags import TagSet
from tests.support.tiny import SCHEMA, WORDS, write_corpus, write_tiny_checkpoint
from tests.unit.export.test_publish import gold_of as gold_of_some

TAGS = TagSet(SCHEMA)
N = 6
"""Words of a sentence."""
ONE_WORD = [0, *(i for i, name in enumerate(TAGS.entity_tags) if str(name).startswith("U"))]
"""Tags of entities of one word, and O: whether a tag is right is then whether the entity is."""
TEXTS = [[f"{i:04d}{j}" for j in range(N)] for i in range(400)]

MIXED = [[WORDS[(i * 5 + j * 7) % len(WORDS)] for j in range(4 + i % 6)] for i in range(60)]


class Drawn:
    """An engine whose logits are random numbers, the same for the same sentence; entities have one word."""

    max_cells, at_once = 5_000, 1

    def __init__(self) -> None:
        self.calls = 0

    def offers(self, stage: str) -> frozenset[str]:
        return frozenset()

    def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        self.calls += 1
        rows = zip(arrays["input_ids"], arrays["attention_mask"], strict=True)
        found = [self.logits(ids[mask > 0]) for ids, mask in rows]
        return {
            name: np.stack([one[i] for one in found]) for i, name in enumerate(("entity_logits", "relation_logits"))
        }

    @staticmethod
    def logits(ids: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        rng = np.random.default_rng(zlib.crc32(ids.astype(np.int64).tobytes()))
        entity = np.full((N, len(TAGS.entity_tags)), -90.0)
        entity[:, ONE_WORD] = rng.normal(size=(N, len(ONE_WORD))) * 4
        return entity.astype(np.float32), (rng.normal(size=(N, N, len(TAGS.relation_tags))) * 4).astype(np.float32)


@pytest.fixture(scope="module")
def checkpoint(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tiny_encoder, tmp_path_factory.mktemp("fitting") / "checkpoint")


@pytest.fixture
def predictor(checkpoint: Path) -> Predictor:
    loaded = Predictor.load(checkpoint)
    return loaded.behind(Drawn(), make_scheme(loaded.model))


def gold_of(predictor: Predictor, tags: float, cells: float) -> list[Sentence]:
    """Gold that was drawn from the softmax of the logits divided by these numbers: with them the model is calibrated."""
    rng = np.random.default_rng(1)
    sentences = []
    for words in TEXTS:
        logits = predictor.engine.run("table", predictor.inputs(predictor.tokenizer.encode([words])))
        entity, relation = softmax(logits["entity_logits"][0], tags), softmax(logits["relation_logits"][0], cells)
        drawn = [int(rng.choice(len(row), p=row)) for row in entity]
        named = {i: TAGS.entity_of(tag)[1] for i, tag in enumerate(drawn) if tag}
        entities = {i: Entity(i, i + 1, kind) for i, kind in named.items()}
        relations = []
        for i, first in entities.items():
            for j, second in entities.items():
                found = TAGS.relation_of(int(rng.choice(relation.shape[-1], p=relation[i, j]))) if i < j else None
                if found:
                    relations.append(Relation(*((first, second) if found[1] == "right" else (second, first)), found[0]))
        sentences.append(Sentence(tuple(words), tuple(entities.values()), tuple(relations)))
    return sentences


@pytest.mark.parametrize(("tags", "cells"), [(2.0, 3.0), (0.6, 1.0), (1.0, 0.7)])
def test_known_temperatures_are_found_again(predictor: Predictor, tags: float, cells: float) -> None:
    gold = gold_of(predictor, tags, cells)
    fitted = fit_temperatures(predictor, gold, "tiny dev")
    assert fitted.temperatures.tags == pytest.approx(tags, rel=0.15)
    assert fitted.temperatures.cells == pytest.approx(cells, rel=0.25)
    assert fitted == fit_temperatures(predictor, gold, "tiny dev"), "the same every time"
    assert fitted.before is not None and fitted.after is not None and fitted.note == "fitted on tiny dev"
    assert (fitted.sentences, fitted.relations > 300) == (len(TEXTS), True)
    assert max(fitted.after.entities, fitted.after.triples) < 0.05
    assert fitted.before.entities > 2 * fitted.after.entities or tags == 1.0


def test_the_model_runs_once_and_not_once_a_temperature(predictor: Predictor) -> None:
    words = [TEXTS[i] for i in range(30)]
    engine = predictor.engine
    assert isinstance(engine, Drawn)
    read_at(predictor, words, [NEUTRAL])
    once = engine.calls
    several = read_at(predictor, words, [NEUTRAL, Temperatures(tags=2.0), Temperatures(cells=3.0)])
    assert engine.calls == 2 * once
    assert [[(s.entities, s.relations) for s in found] for found in several] == 3 * [
        [(s.entities, s.relations) for s in several[0]]
    ]


def test_what_tells_nothing_stays_at_1_and_is_said(predictor: Predictor) -> None:
    (found,) = read_at(predictor, TEXTS, [NEUTRAL])
    all_right = fit_temperatures(predictor, found, "dev")
    assert all_right.temperatures == NEUTRAL and all_right.note.startswith(
        "not fitted on dev; the temperature of tags stays 1"
    )
    assert "are right and 0 wrong" in all_right.note
    nothing = fit_temperatures(predictor, [], "dev")
    assert nothing.temperatures == NEUTRAL and (nothing.entities, nothing.relations) == (0, 0)
    # Entities that can be told, relations that cannot: no gold has one.
    half = [Sentence(s.words, s.entities) for s in gold_of(predictor, 2.0, 3.0)]
    fitted = fit_temperatures(predictor, half, "dev")
    assert fitted.temperatures.tags == pytest.approx(2.0, rel=0.15) and fitted.temperatures.cells == 1.0
    assert (
        fitted.note.startswith("fitted on dev; the temperature of cells stays 1") and f"{ENOUGH} of each" in fitted.note
    )


def test_a_model_without_relation_types_has_a_temperature_of_tags_alone(predictor: Predictor) -> None:
    plain = TagSet(Schema(SCHEMA.entity_types, ()))
    gold = [Sentence(s.words, s.entities) for s in gold_of(predictor, 2.0, 3.0)]
    predictor.tags = plain
    fitted = fit_temperatures(predictor, gold, "dev")
    assert fitted.temperatures.tags == pytest.approx(2.0, rel=0.15) and fitted.temperatures.cells == 1.0


def test_triples_are_judged_by_their_own_probability() -> None:
    a, b, c = Entity(0, 1, "Per", 0.5), Entity(1, 2, "Org", 0.8), Entity(2, 3, "Loc", 0.9)
    said = Sentence(("x", "y", "z"), (a, b, c), (Relation(a, b, "works", 0.5), Relation(c, a, "near", 1.0)))
    gold = Sentence(("x", "y", "z"), (a, c), (Relation(a, c, "near"),))
    found = reliability([(gold, said)], SCHEMA)
    assert found.triples == calibrate([0.5 * 0.5 * 0.8, 0.9 * 0.5], [False, True]), "near has no direction"
    assert found.relations == calibrate([0.5, 1.0], [False, True])
    assert found.entities == calibrate([0.5, 0.8, 0.9], [True, False, True])


def run(*words: object) -> str:
    done = CliRunner().invoke(tablert, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_finished_checkpoint_is_calibrated_and_evaluated(checkpoint: Path, tmp_path: Path) -> None:
    records = [gold_of_some(one, i) for i, one in enumerate(Predictor.load(checkpoint).annotate(MIXED))]
    data = write_corpus(tmp_path / "data", {"dev": records[:40], "test": records[40:]})
    words = ["--model", checkpoint, "--data", data, "--out"]
    told = run("calibrate", *words, tmp_path / "calibrated")
    fitted = read_card(tmp_path / "calibrated").calibration
    assert fitted is not None and fitted.sentences == 40 and "the dev split" in fitted.note
    assert f"temperatures: {fitted.temperatures} ({fitted.note})" in told and "after, on" in told
    again = CliRunner().invoke(tablert, [str(word) for word in ("calibrate", *words, tmp_path / "calibrated")])
    assert again.exit_code == 2 and "replace it with --force" in again.output
    run("calibrate", *words, tmp_path / "calibrated", "--force")
    page = tmp_path / "errors.html"
    evaluated = [
        "evaluate",
        "--data",
        data,
        "--split",
        "dev",
        "--report",
        page,
        "--out",
        tmp_path / "scores.json",
        "--force",
    ]
    run(*evaluated, "--model", checkpoint)
    before = json.loads((tmp_path / "scores.json").read_text())["calibration"]
    assert before["before"] is None and before["temperatures"] == {"tags": 1.0, "cells": 1.0}
    assert "before temperatures" not in page.read_text()
    run(*evaluated, "--model", tmp_path / "calibrated")
    after = json.loads((tmp_path / "scores.json").read_text())["calibration"]
    assert after["temperatures"] == fitted.temperatures.model_dump() != before["temperatures"]
    assert after["before"] == pytest.approx(before["after"]) and after["predictions"] == before["predictions"]
    assert after["after"] == pytest.approx(fitted.after.model_dump()) and after["after"] != after["before"]  # type: ignore[union-attr]
    assert "before temperatures" in page.read_text()
