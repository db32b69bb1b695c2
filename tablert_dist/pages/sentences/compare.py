"""Prediction against gold, item by item; the marks add up to the counts of `tablert_dist.scoring` (NER and RE+)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tablert_dist.inference.extraction import Extraction
from tablert_dist.pages.drawing.rows import Arc, Mark, Row, Status
from tablert_dist.schema import Entity, Relation, Schema, Sentence


def compare(gold: Sentence, found: Extraction, schema: Schema) -> tuple[Row, ...]:
    """The prediction and gold as rows over the same text; one row where the two agree."""
    predicted = _row(found.sentence, gold, found, schema, Status.SPURIOUS, "predicted")
    expected = _row(gold, found.sentence, found, schema, Status.MISSED, "gold")
    if predicted.wrong or expected.wrong:
        return predicted, expected
    return (_row(found.sentence, gold, found, schema, Status.SPURIOUS, "predicted, as gold"),)


def plain(found: Extraction, schema: Schema) -> Row:
    """A prediction without gold."""
    return _row(found.sentence, None, found, schema, Status.PLAIN, "")


def _row(
    sentence: Sentence, other: Sentence | None, found: Extraction, schema: Schema, alone: Status, title: str
) -> Row:
    """`alone` is the status of what `other` lacks. Duplicates are shown once, as scoring counts them once."""
    entities = list(dict.fromkeys(sentence.entities))
    relations = list({relation_key(r, schema): r for r in sentence.relations}.values())
    shared = set(other.entities) if other else set()
    keys = {relation_key(r, schema) for r in other.relations} if other else set()
    marks = tuple(
        Mark(*_characters(e, found.offsets), e.type, e.probability, Status.HIT if e in shared else alone)
        for e in entities
    )
    arcs = tuple(
        Arc(
            entities.index(r.head),
            entities.index(r.tail),
            r.type,
            r.probability,
            Status.HIT if relation_key(r, schema) in keys else alone,
            r.type in schema.symmetric,
        )
        for r in relations
    )
    return Row(found.text, marks, arcs, title)


def relation_key(relation: Relation, schema: Schema) -> tuple[Any, ...]:
    """What makes two triples the same at RE+: type and both typed spans, in either order where symmetric."""
    ends = [relation.head, relation.tail]
    return (relation.type, *(sorted(ends) if relation.type in schema.symmetric else ends))


def _characters(entity: Entity, offsets: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return offsets[entity.start][0], offsets[entity.end - 1][1]
