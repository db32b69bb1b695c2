"""Logits to entities and relations with their probabilities (SPEC §6); the inverse of encoding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.tables import Floats, TableLogits, TagSet


def decode(words: Sequence[Sequence[str]], logits: TableLogits, tags: TagSet) -> list[Sentence]:
    """One sentence for each list of words; `logits` may be padded beyond them."""
    return [
        decode_sentence(w, logits.entity[b, : len(w)], logits.relation[b, : len(w), : len(w)], tags)
        for b, w in enumerate(words)
    ]


def decode_sentence(words: Sequence[str], entity_NE: Floats, relation_NNR: Floats, tags: TagSet) -> Sentence:
    """Entities by BILOU, a relation for each pair of them read at the cell of their last words (paper §3.2)."""
    entities = decode_entities(entity_NE, tags)
    relations = []
    for i, first in enumerate(entities):
        for second in entities[i + 1 :]:
            probabilities = softmax(relation_NNR[first.end - 1, second.end - 1])
            tag = int(probabilities.argmax())
            found = tags.relation_of(tag)
            if found:
                kind, direction = found
                head, tail = (first, second) if direction == "right" else (second, first)
                relations.append(Relation(head, tail, kind, float(probabilities[tag])))
    return Sentence(tuple(words), tuple(entities), tuple(relations))


def decode_entities(entity_NE: Floats, tags: TagSet) -> list[Entity]:
    """A span closes at L or U, opens after the last O or closed span, has its last word's type; others are dropped."""
    best = entity_NE.argmax(-1)
    probability = np.take_along_axis(softmax(entity_NE), best[:, None], -1)[:, 0]
    entities = []
    start = 0
    for i, tag in enumerate(best.tolist()):
        prefix, kind = tags.entity_of(tag)
        if prefix in {"L", "U"}:
            entities.append(Entity(start, i + 1, kind, float(probability[start : i + 1].prod())))
        if prefix in {"O", "L", "U"}:
            start = i + 1
    return entities


def triple_probability(relation: Relation) -> float | None:
    """The relation's probability times both entities'; None where any is unknown."""
    parts = (relation.probability, relation.head.probability, relation.tail.probability)
    if any(p is None for p in parts):
        return None
    return float(np.prod([p for p in parts if p is not None]))


def softmax(logits: Floats) -> Floats:
    """Over the last axis, in float64 so that the largest of near equals stays the largest."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))
