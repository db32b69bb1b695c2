"""Decoding a sentence at a time and a cell at a time, as plainly as it can be written: what the batched decoder must equal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.tags import PREFIXES, Floats, TableLogits, TagSet


def decode(
    words: Sequence[Sequence[str]], logits: TableLogits, tags: TagSet, constrained: bool = False
) -> list[Sentence]:
    """One sentence for each list of words; `logits` may be padded beyond them."""
    return [
        decode_sentence(w, logits.entity[b, : len(w)], logits.relation[b, : len(w), : len(w)], tags, constrained)
        for b, w in enumerate(words)
    ]


def decode_sentence(
    words: Sequence[str], entity_NE: Floats, relation_NNR: Floats, tags: TagSet, constrained: bool = False
) -> Sentence:
    """Entities by BILOU, a relation for each pair of them read at the cell of their last words (paper §3.2)."""
    entities = decode_entities(entity_NE, tags, constrained)
    return Sentence(tuple(words), tuple(entities), tuple(relations_of(entities, relation_NNR, tags)))


def relations_of(entities: Sequence[Entity], relation_NNR: Floats, tags: TagSet) -> list[Relation]:
    """For each pair of entities, in the order of their words, the tag at the cell of their last words."""
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
    return relations


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


def softmax(logits: Floats) -> Floats:
    """Over the last axis, in float64 so that the largest of near equals stays the largest."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))


def log_softmax(logits: Floats) -> Floats:
    """Over the last axis, in float64."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))
