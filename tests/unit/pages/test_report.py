"""The error report: each number by hand on a few sentences, calibration, thresholds, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablert_dist.analysis.calibration import calibrate, threshold_for
from tablert_dist.analysis.errors import NOTHING, distance, examine
from tablert_dist.pages.errors.page import write_page
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.scoring import count
from tests.support.tiny import SCHEMA, sentences

ADA, ACME, OSLO = Entity(0, 1, "Per", 0.9), Entity(3, 5, "Org", 0.8), Entity(6, 7, "Loc", 0.7)
WORDS = ("Ada", "works", "for", "Acme", "Works", "near", "Oslo", "<b>")
GOLD = Sentence(WORDS, (ADA, ACME, OSLO), (Relation(ADA, ACME, "works"), Relation(ACME, OSLO, "near")))


def found(entities: tuple[Entity, ...], relations: tuple[Relation, ...] = ()) -> Sentence:
    return Sentence(WORDS, entities, relations)


def test_confusions_and_boundaries_by_hand() -> None:
    wrong_type = Entity(6, 7, "Org", 0.6)
    longer = Entity(2, 5, "Org", 0.5)
    alone = Entity(1, 2, "Per", 0.4)
    said = found((ADA, longer, wrong_type, alone), (Relation(ADA, longer, "works", 0.9),))
    report = examine([GOLD, GOLD], [said, found(GOLD.entities, (Relation(ADA, ACME, "near", 0.3),))], SCHEMA)
    assert report.entity_confusion == {
        ("Per", "Per"): 2, ("Org", NOTHING): 1, (NOTHING, "Org"): 1, ("Loc", "Org"): 1, (NOTHING, "Per"): 1,
        ("Org", "Org"): 1, ("Loc", "Loc"): 1,
    }  # fmt: skip
    told = {k: v for k, v in report.boundaries.items() if v}
    assert told == {
        "missed: right type, other borders": 1, "missed: right span, wrong type": 1,
        "spurious: right type, other borders": 1, "spurious: right span, wrong type": 1, "spurious: alone": 1,
    }  # fmt: skip
    assert report.relation_confusion["works", "near"] == 1 or ("works", NOTHING) in report.relation_confusion
    assert report.worst[0].index == 0 and report.worst[0].errors == 5 + 3
    assert [w.index for w in report.worst] == [0, 1]


@given(st.lists(st.tuples(sentences(), sentences()), min_size=1, max_size=5))
def test_the_groups_and_confusions_add_up_to_the_scores(pairs: list[tuple[Sentence, Sentence]]) -> None:
    gold = [g for g, _ in pairs]
    said = [g if i % 2 else Sentence(g.words) for i, g in enumerate(gold)]
    report = examine(gold, said, SCHEMA)
    counts = count(zip(gold, said, strict=True), SCHEMA)
    hits = sum(n for (g, p), n in report.entity_confusion.items() if g == p)
    missed = sum(n for (g, p), n in report.entity_confusion.items() if p == NOTHING)
    assert [hits, missed] == counts.table[: len(SCHEMA.entity_types), [0, 2]].sum(0).tolist()
    assert sum(group.sentences for group in report.by_length) == len(gold)
    relations = sum(len(set(g.relations)) for g in gold)
    assert sum(group.support for group in report.by_distance) == relations
    json.dumps(report.to_json())


def test_distance_is_the_same_both_ways_and_one_for_neighbours() -> None:
    assert distance(ADA, ACME) == distance(ACME, ADA) == 3
    assert distance(Entity(0, 2, "Per"), Entity(2, 3, "Org")) == 1


def test_calibration_of_honest_probabilities_is_near_zero_and_of_boasting_ones_is_the_boast() -> None:
    rng = np.random.default_rng(0)
    chances = rng.uniform(0, 1, 20_000)
    honest = calibrate(chances.tolist(), (rng.uniform(0, 1, 20_000) < chances).tolist())
    assert honest.ece < 0.02 and honest.count == 20_000 and len(honest.bins) == 10
    boasting = calibrate([0.95] * 1000, [i % 2 == 0 for i in range(1000)])
    assert boasting.ece == pytest.approx(0.45) and boasting.bins[0].precision == 0.5
    assert calibrate([1.0, 0.0], [True, False]).ece == 0.0
    assert calibrate([], []).bins == ()


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=12), st.sampled_from([0.5, 0.8, 1.0]))
def test_a_threshold_is_the_lowest_that_gives_the_precision(items: list[tuple[int, bool]], wanted: float) -> None:
    chances, right = [p / 5 for p, _ in items], [ok for _, ok in items]
    found = threshold_for("works", chances, right, 10, wanted)

    def precision(threshold: float) -> float:
        kept = [ok for p, ok in zip(chances, right, strict=True) if p >= threshold]
        return sum(kept) / len(kept) if kept else 0.0

    good = [t for t in sorted(set(chances)) if precision(t) >= wanted]
    assert found.threshold == (good[0] if good else None)
    if good:
        assert found.precision == precision(good[0])
        assert found.recall == sum(ok for p, ok in zip(chances, right, strict=True) if p >= good[0]) / 10


def test_the_page_is_whole_and_shows_what_is_wrong(tmp_path: Path) -> None:
    said = found((ADA, Entity(2, 5, "Org", 0.5)), (Relation(ADA, Entity(2, 5, "Org", 0.5), "works", 0.9),))
    report = examine([GOLD] * 3, [said, GOLD, GOLD], SCHEMA)
    page = write_page(report, tmp_path / "errors.html", "tiny dev", "trained on nothing").read_text()
    assert "Acme Works (Org)" in page and "(missed)" in page and "for Acme Works (Org)" in page
    assert "<b>" not in page and "&lt;b&gt;" in page, "words are escaped"
    assert "http" not in page.replace("http-equiv", ""), "nothing is loaded"
    assert page.count("<svg") == 3 and "reliability curve of relations" in page
    assert [p.name for p in tmp_path.iterdir()] == ["errors.html"]
