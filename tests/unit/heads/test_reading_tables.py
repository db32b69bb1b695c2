"""Where relations are read from, logits or a graph's own answers; probabilities of triples; what cells of a table mean."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tablert_dist.heads.base import RELATION_ANSWERS, RELATION_PROBABILITIES, RELATION_TAGS, Arrays
from tablert_dist.heads.cnn.scheme import STAGES, TABLE, TableScheme, upper_cells
from tablert_dist.heads.table_decoding import (
    RelationAnswers,
    cells_of,
    decode,
    lengths_of,
    run_table,
    softmax,
    triple_probability,
)
from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tablert_dist.tags import TableLogits, TagSet

TAGS = TagSet(Schema(("Per",), ("works",)))
WORDS = [("Ada", "Bo", "Cy"), ("Di",)]


class Recorded:
    """Gives fixed outputs of the table, or those that are asked for; notes what was asked."""

    def __init__(self, offered: Collection[str]) -> None:
        rng = np.random.default_rng(0)
        self.entity, self.logits = rng.normal(size=(2, 3, 5)) * 9, rng.normal(size=(2, 3, 3, 3)) * 9
        self.offered, self.asked = frozenset(offered), []

    def offers(self, stage: str) -> frozenset[str]:
        assert stage == TABLE
        return self.offered

    def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        assert stage == TABLE and list(arrays) == ["x"]
        self.asked.append(outputs)
        both = {"entity_logits": self.entity, "relation_logits": self.logits}
        answers = {RELATION_TAGS: self.logits.argmax(-1), RELATION_PROBABILITIES: softmax(self.logits).max(-1)}
        return {k: v for k, v in {**both, **answers}.items() if (k in both if outputs is None else k in outputs)}


INPUTS = {"x": np.zeros(1)}


def test_relations_are_logits_where_an_engine_offers_no_answers_or_only_one() -> None:
    for offered in ((), (RELATION_TAGS,), (RELATION_PROBABILITIES,)):
        engine = Recorded(offered)
        found, relation = run_table(engine, TABLE, INPUTS, ("entity_logits",))
        assert relation is engine.logits and found["entity_logits"] is engine.entity and engine.asked == [None]


def test_answers_are_asked_for_instead_of_logits_where_they_are_offered() -> None:
    engine = Recorded(RELATION_ANSWERS)
    found, relation = run_table(engine, TABLE, INPUTS, ("entity_logits",))
    assert isinstance(relation, RelationAnswers) and found["entity_logits"] is engine.entity
    assert engine.asked == [("entity_logits", RELATION_TAGS, RELATION_PROBABILITIES)]
    run_table(engine, TABLE, INPUTS)
    assert engine.asked[-1] == (RELATION_TAGS, RELATION_PROBABILITIES)
    place = (np.array([0, 1]), np.array([1, 0]), np.array([2, 0]))
    tags, probabilities = cells_of(relation, *place, 1.0)
    assert tags.dtype == np.int64 and tags.tolist() == engine.logits[place].argmax(-1).tolist()
    assert probabilities.tolist() == softmax(engine.logits[place]).max(-1).tolist()
    from_logits = cells_of(engine.logits, *place, 1.0)
    assert from_logits[0].tolist() == tags.tolist() and from_logits[1].tolist() == probabilities.tolist()


@pytest.mark.parametrize("constrained", [False, True])
def test_the_cnns_scheme_decodes_what_its_one_stage_gives(constrained: bool) -> None:
    differ = False
    for seed in range(20):
        engines = [Recorded(()), Recorded(RELATION_ANSWERS)]
        for engine in engines:
            rng = np.random.default_rng(seed)
            engine.entity, engine.logits = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 3, 3, 3))
        scheme = TableScheme(constrained) if constrained else TableScheme()
        found = [scheme.decode(engine, INPUTS, WORDS, TAGS) for engine in engines]
        logits = TableLogits(engines[0].entity, engines[0].logits)
        expected = decode(WORDS, logits, TAGS, constrained)
        assert found[0] == found[1] == expected
        differ |= expected != decode(WORDS, logits, TAGS, not constrained)
        for a, b in zip(*found, strict=True):
            assert [r.probability for r in a.relations] == [r.probability for r in b.relations]
    assert differ, "both ways of decoding were told apart"
    assert scheme.stages is STAGES


def test_words_and_cells_above_the_diagonal_mean_something() -> None:
    inputs = {"word_subwords": np.array([[[1], [2], [3]], [[1], [-1], [-1]]])}
    masks = TableScheme().valid_mask(TABLE, inputs, {})
    assert masks["entity_logits"].tolist() == [[True, True, True], [True, False, False]]
    upper = [[False, True, True], [False, False, True], [False] * 3]
    assert masks["relation_logits"].tolist() == [upper, [[False] * 3] * 3] and len(masks) == 2
    gap = upper_cells(np.array([[True, False, True]]))
    assert np.argwhere(gap).tolist() == [[0, 0, 2]] and gap.dtype == bool


def test_a_triples_probability_is_that_of_its_relation_and_both_its_entities() -> None:
    head, tail = Entity(0, 1, "Per", 0.5), Entity(1, 2, "Per", 0.25)
    assert triple_probability(Relation(head, tail, "works", 0.8)) == pytest.approx(0.1)
    unknown = Entity(0, 1, "Per")
    for relation in (
        Relation(head, tail, "works"),
        Relation(unknown, tail, "works", 0.8),
        Relation(head, unknown, "works", 0.8),
    ):
        assert triple_probability(relation) is None


def test_sentences_without_words_or_relations_are_decoded_too() -> None:
    assert lengths_of(WORDS).tolist() == [3, 1] and lengths_of(WORDS).dtype == np.int64
    logits = TableLogits(np.zeros((2, 3, 5), np.float32), np.zeros((2, 3, 3, 3), np.float32))
    assert decode(WORDS, logits, TAGS) == [Sentence(w) for w in WORDS]
    # One entity in the second sentence alone, whose probability is its word's.
    logits.entity[1, 0, TAGS.entity_tags.index("U-Per")] = 2.0
    found = decode(WORDS, logits, TAGS)
    assert [len(s.entities) for s in found] == [0, 1] and not found[1].relations
    assert found[1].entities[0].probability == pytest.approx(np.exp(2) / (np.exp(2) + 4))
