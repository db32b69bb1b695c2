"""The batched decoder gives what a decoder of one sentence and one cell at a time gives, probabilities to the last bit."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from tablert_dist.heads.table_decoding import decode
from tablert_dist.inference.extraction import Extraction, Read
from tablert_dist.schema import Schema, Sentence
from tablert_dist.tags import TableLogits, TagSet
from tests.support import reference_decoding
from tests.support.tiny import SCHEMA

SCHEMAS = {
    "one type, no relations": Schema(("A",), ()),
    "one of each": Schema(("A",), ("r",)),
    "symmetric and not": SCHEMA,
    "all symmetric": Schema(("A", "B"), ("r", "s"), frozenset({"r", "s"})),
    "as many as ACE05": Schema(tuple("ABCDEFG"), tuple("rstuvw"), frozenset({"w"})),
}


def tables(tags: TagSet, rng: np.random.Generator, ties: bool) -> tuple[list[list[str]], TableLogits]:
    """A batch of random logits, padded by some words more than its longest sentence has."""
    lengths = rng.integers(1, int(rng.choice([2, 6, 14])), int(rng.integers(1, 6)))
    N, E, R = int(lengths.max() + rng.integers(0, 3)), len(tags.entity_tags), len(tags.relation_tags)
    shapes = (len(lengths), N, E), (len(lengths), N, N, R)
    # Few different values make ties everywhere; differences of one ulp make ties of probabilities alone.
    entity, relation = (
        rng.integers(-1, 2, shape).astype(np.float32) + np.float32(1e-17) * rng.integers(-1, 2, shape)
        if ties
        else rng.normal(size=shape) * rng.choice([0.1, 3.0, 30.0])
        for shape in shapes
    )
    return [["word"] * n for n in lengths.tolist()], TableLogits(entity.astype(np.float32), relation.astype(np.float32))


def values(sentence: Sentence) -> tuple[object, ...]:
    """All of it: in comparisons of entities and relations their probabilities have no part."""
    entities = [(e.start, e.end, e.type, e.probability) for e in sentence.entities]
    relations = [
        (r.head, r.tail, r.head.probability, r.tail.probability, r.type, r.probability) for r in sentence.relations
    ]
    return sentence.words, entities, relations, sentence.id, sentence.document, sentence.text, sentence.offsets


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_a_batch_is_decoded_as_its_sentences_are_one_by_one(schema: Schema, constrained: bool) -> None:
    tags, rng = TagSet(schema), np.random.default_rng(7)
    entities = relations = 0
    for turn in range(400):
        words, logits = tables(tags, rng, ties=turn % 2 == 0)
        found = decode(words, logits, tags, constrained)
        expected = reference_decoding.decode(words, logits, tags, constrained)
        assert [values(s) for s in found] == [values(s) for s in expected]
        # Parts that fit together: what the constructor checks, which the decoder leaves out.
        assert [Sentence(s.words, s.entities, s.relations) for s in found] == found
        entities += sum(len(s.entities) for s in found)
        relations += sum(len(s.relations) for s in found)
    assert entities > 500 and (relations > 100 or not schema.relation_types), "the comparison is about something"


def test_numbers_that_are_none_are_decoded_as_before() -> None:
    tags, rng = TagSet(SCHEMA), np.random.default_rng(1)
    words, logits = tables(tags, rng, ties=False)
    logits.entity[0, 0, 3], logits.relation[:, :, :, 1] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        found, expected = decode(words, logits, tags), reference_decoding.decode(words, logits, tags)
    assert repr([values(s) for s in found]) == repr([values(s) for s in expected])


def test_an_extraction_stays_a_value_when_it_was_read() -> None:
    tags, rng = TagSet(SCHEMA), np.random.default_rng(3)
    while True:
        words, logits = tables(tags, rng, ties=False)
        sentence = decode(words, logits, tags)[0]
        if sentence.relations:
            break
    offsets = tuple((5 * i, 5 * i + 4) for i in range(len(sentence.words)))
    read, unread = (
        Extraction(" ".join(sentence.words), sentence, offsets, Read(len(offsets)), SCHEMA.symmetric) for _ in range(2)
    )
    assert read.relations and read.entities is read.entities, "made once"
    assert read == unread and hash(read) == hash(unread) and repr(read) == repr(unread)
    again = pickle.loads(pickle.dumps(read))
    assert again == read and again.entities == read.entities and again.to_json() == unread.to_json()
    assert replace(read, offsets=tuple((a + 1, b + 1) for a, b in offsets)).entities != read.entities
