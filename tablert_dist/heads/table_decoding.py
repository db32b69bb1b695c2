"""Logits to entities and relations with their probabilities (docs/concepts.md#decoding); the inverse of encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tablert_dist.heads.base import RELATION_ANSWERS, RELATION_PROBABILITIES, RELATION_TAGS, Arrays, Engine
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.tags import PREFIXES, Floats, RelationAnswers, TableLogits, TagSet


def run_table(
    engine: Engine, stage: str, arrays: Arrays, others: Sequence[str] = ()
) -> tuple[dict[str, NDArray[Any]], Floats | RelationAnswers]:
    """Return a stage's outputs `others`, and its relations: as answers where the engine offers them, else as logits.

    Answers are two numbers a cell, logits R of them; from a GPU each is copied.
    """
    if not set(RELATION_ANSWERS) <= engine.offers(stage):
        found = engine.run(stage, arrays)
        return found, found["relation_logits"]
    found = engine.run(stage, arrays, (*others, *RELATION_ANSWERS))
    return found, RelationAnswers(found[RELATION_TAGS], found[RELATION_PROBABILITIES])


def decode(
    words: Sequence[Sequence[str]], logits: TableLogits, tags: TagSet, constrained: bool = False
) -> list[Sentence]:
    """One sentence for each list of words; `logits` may be padded beyond them."""
    return [
        decode_sentence(w, logits.entity[b, : len(w)], logits.relation[b, : len(w), : len(w)], tags, constrained)
        for b, w in enumerate(words)
    ]


def decode_sentence(
    words: Sequence[str],
    entity_NE: Floats,
    relation_NNR: Floats | RelationAnswers,
    tags: TagSet,
    constrained: bool = False,
) -> Sentence:
    """Entities by BILOU, a relation for each pair of them read at the cell of their last words (paper §3.2)."""
    entities = decode_entities(entity_NE, tags, constrained)
    return Sentence(tuple(words), tuple(entities), tuple(relations_of(entities, relation_NNR, tags)))


def relations_of(entities: Sequence[Entity], relation_NNR: Floats | RelationAnswers, tags: TagSet) -> list[Relation]:
    """For each pair of entities, in the order of their words, the tag at the cell of their last words."""
    relations = []
    for i, first in enumerate(entities):
        for second in entities[i + 1 :]:
            tag, probability = _cell(relation_NNR, first.end - 1, second.end - 1)
            found = tags.relation_of(tag)
            if found:
                kind, direction = found
                head, tail = (first, second) if direction == "right" else (second, first)
                relations.append(Relation(head, tail, kind, probability))
    return relations


def _cell(relation_NNR: Floats | RelationAnswers, row: int, column: int) -> tuple[int, float]:
    """The tag of a cell and its probability."""
    if isinstance(relation_NNR, RelationAnswers):
        return int(relation_NNR.tags[row, column]), float(relation_NNR.probabilities[row, column])
    probabilities = softmax(relation_NNR[row, column])
    tag = int(probabilities.argmax())
    return tag, float(probabilities[tag])


def decode_entities(entity_NE: Floats, tags: TagSet, constrained: bool = False) -> list[Entity]:
    """Entities of the most probable tag of each word or, `constrained`, of the most probable well-formed sequence."""
    best = best_sequence(entity_NE, tags) if constrained else entity_NE.argmax(-1)
    probability = np.take_along_axis(softmax(entity_NE), best[:, None], -1)[:, 0]
    return spans_of(best.tolist(), probability, tags)


def spans_of(tag_ids: Sequence[int], probability_N: Floats, tags: TagSet) -> list[Entity]:
    """A span closes at L or U, opens after the last O or closed span, has its last word's type; others are dropped."""
    entities = []
    start = 0
    for i, tag in enumerate(tag_ids):
        prefix, kind = tags.entity_of(tag)
        if prefix in {"L", "U"}:
            entities.append(Entity(start, i + 1, kind, float(probability_N[start : i + 1].prod())))
        if prefix in {"O", "L", "U"}:
            start = i + 1
    return entities


def best_sequence(entity_NE: Floats, tags: TagSet) -> NDArray[np.int64]:
    """Tags [N] of the well-formed BILOU sequence with the largest product of probabilities (Viterbi)."""
    allowed, starts, ends = transitions(tags)
    scores = log_softmax(entity_NE)
    total = np.where(starts, scores[0], -np.inf)
    back = np.zeros(entity_NE.shape, np.int64)
    for i in range(1, len(scores)):
        ways = np.where(allowed, total[:, None], -np.inf)
        back[i] = ways.argmax(0)
        total = ways.max(0) + scores[i]
    best = [int(np.where(ends, total, -np.inf).argmax())]
    for i in range(len(scores) - 1, 0, -1):
        best.append(int(back[i, best[-1]]))
    return np.asarray(best[::-1], np.int64)


def transitions(tags: TagSet) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which tag may follow which, [E, E], and which may begin and end a sentence, [E] each."""
    names = [tags.entity_of(i) for i in range(1 + len(PREFIXES) * len(tags.schema.entity_types))]
    # After B and I of a type, its I or L; after everything else, what opens or stays outside.
    inside = [kind if prefix in {"B", "I"} else "" for prefix, kind in names]
    needs = [kind if prefix in {"I", "L"} else "" for prefix, kind in names]
    allowed = np.asarray([[before == after for after in needs] for before in inside])
    return allowed, np.asarray([not kind for kind in needs]), np.asarray([not kind for kind in inside])


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


def log_softmax(logits: Floats) -> Floats:
    """Over the last axis, in float64."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))
