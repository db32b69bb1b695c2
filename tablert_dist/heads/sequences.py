"""Probabilities of logits, and the most probable well-formed sequence of tags (docs/concepts.md#decoding).

Axes: B batch, N words, E entity tags.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tablert_dist.tags import PREFIXES, Floats, Ints, TagSet

Bools = NDArray[np.bool_]


def best_sequences(entity_BNE: Floats, lengths_B: Ints, tags: TagSet) -> Ints:
    """Tags [B, N] of the well-formed BILOU sequences with the largest product of probabilities (Viterbi).

    What stands beyond a sentence's end is unspecified.
    """
    allowed, starts, ends = transitions(tags)
    B, N, E = entity_BNE.shape
    scores = log_softmax(entity_BNE)
    total = np.where(starts, scores[:, 0], -np.inf)
    back = np.zeros((B, N, E), np.int64)
    same = np.arange(E)
    for i in range(1, N):
        ways = np.where(allowed, total[:, :, None], -np.inf)
        going = (i < lengths_B)[:, None]
        # Beyond its end a sentence stays where it was: the way back then leads to its last word.
        back[:, i] = np.where(going, ways.argmax(1), same)
        total = np.where(going, ways.max(1) + scores[:, i], total)
    best = np.zeros((B, N), np.int64)
    best[:, N - 1] = np.where(ends, total, -np.inf).argmax(1)
    rows = np.arange(B)
    for i in range(N - 1, 0, -1):
        best[:, i - 1] = back[rows, i, best[:, i]]
    return best


@lru_cache(maxsize=64)
def transitions(tags: TagSet) -> tuple[Bools, Bools, Bools]:
    """Which tag may follow which, [E, E], and which may begin and end a sentence, [E] each."""
    names = [tags.entity_of(i) for i in range(1 + len(PREFIXES) * len(tags.schema.entity_types))]
    # After B and I of a type, its I or L; after everything else, what opens or stays outside.
    inside = [kind if prefix in {"B", "I"} else "" for prefix, kind in names]
    needs = [kind if prefix in {"I", "L"} else "" for prefix, kind in names]
    allowed = np.asarray([[before == after for after in needs] for before in inside])
    return allowed, np.asarray([not kind for kind in needs]), np.asarray([not kind for kind in inside])


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """Over the last axis, in float64 so that the largest of near equals stays the largest."""
    shifted = np.exp((logits.astype(np.float64) - logits.max(-1, keepdims=True)) / temperature)
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))


def log_softmax(logits: Floats) -> Floats:
    """Over the last axis, in float64."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))
