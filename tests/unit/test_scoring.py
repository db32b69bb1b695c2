"""Scores by hand, and counts that add up over shards (docs/concepts.md#scores)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tablert_dist.scoring import Counts, count
from tests.support.tiny import SCHEMA, sentences

WORDS = tuple("abcdef")
A, B, C = Entity(0, 1, "Per"), Entity(1, 3, "Org"), Entity(4, 5, "Loc")


def test_ner_needs_boundaries_and_type() -> None:
    gold = Sentence(WORDS, (A, B, C))
    predicted = Sentence(WORDS, (A, Entity(1, 2, "Org"), Entity(4, 5, "Org")))
    scores = count([(gold, predicted)], SCHEMA).scores().levels["ner"]
    assert (scores.micro.precision, scores.micro.recall, scores.micro.f1) == (1 / 3, 1 / 3, 1 / 3)
    assert {k: r.f1 for k, r in scores.by_type.items()} == {"Per": 1.0, "Org": 0.0, "Loc": 0.0}
    assert scores.macro.f1 == pytest.approx(1 / 3)
    assert scores.micro.support == 3


def test_re_ignores_entity_types_and_re_plus_does_not() -> None:
    gold = Sentence(WORDS, (A, B), (Relation(A, B, "works"),))
    retyped = Entity(1, 3, "Loc")
    predicted = Sentence(WORDS, (A, retyped), (Relation(A, retyped, "works"),))
    scores = count([(gold, predicted)], SCHEMA).scores()
    assert (scores.f1("re"), scores.f1("re_plus")) == (1.0, 0.0)


def test_direction_counts_except_for_symmetric_types() -> None:
    def f1(kind: str) -> float:
        gold = Sentence(WORDS, (A, B), (Relation(A, B, kind),))
        turned = Sentence(WORDS, (A, B), (Relation(B, A, kind),))
        return count([(gold, turned)], SCHEMA).scores().f1("re_plus")

    assert (f1("works"), f1("near")) == (0.0, 1.0)


def test_duplicates_count_once_and_macro_leaves_out_unseen_types() -> None:
    twice = Sentence(WORDS, (A, A, B), (Relation(A, B, "works"), Relation(A, B, "works")))
    scores = count([(twice, Sentence(WORDS, (A, B), (Relation(A, B, "works"),)))], SCHEMA).scores()
    assert scores.f1("ner") == scores.f1("re") == 1.0
    assert scores.levels["re"].macro.f1 == 1.0, "'near' was in neither gold nor prediction"
    assert scores.levels["re"].micro.support == 1


def test_nothing_divided_by_nothing_is_zero() -> None:
    scores = count([], Schema(("Per",), ())).scores()
    assert {scores.f1(level) for level in ("ner", "re", "re_plus")} == {0.0}


@given(st.lists(st.tuples(sentences(), sentences()), max_size=6), st.integers(1, 4))
def test_counts_of_shards_add_up(pairs: list[tuple[Sentence, Sentence]], shards: int) -> None:
    whole = count(pairs, SCHEMA)
    parts = [count(pairs[i::shards], SCHEMA) for i in range(shards)]
    assert np.array_equal(sum(parts, Counts.zero(SCHEMA)).table, whole.table)


@given(sentences())
def test_gold_scores_one_against_itself(sentence: Sentence) -> None:
    scores = count([(sentence, sentence)], SCHEMA).scores()
    assert scores.f1("ner") == float(bool(sentence.entities))
    assert scores.f1("re_plus") == float(bool(sentence.relations))
