"""Near duplicates: all pairs of sentences whose sets of word pairs have a Jaccard likeness of at least a threshold.

Exact, not sampled: two sets that are alike enough share a shingle among the rarest few of each (prefix filtering,
Chaudhuri et al. 2006), so only sentences that share a rare shingle are compared.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

LIKENESS = 0.8
LEAST_WORDS = 6
"""Shorter sentences are alike by chance."""


def near_pairs(
    sentences: Sequence[Sequence[str]], least: float = LIKENESS, least_words: int = LEAST_WORDS
) -> Iterator[tuple[int, int, float]]:
    """Pairs of indices `i < j` with their likeness (0–1), in order of j. Case plays no part."""
    shingles = {i: _shingles(words) for i, words in enumerate(sentences) if len(words) >= least_words}
    common = Counter(s for found in shingles.values() for s in found)
    index: dict[tuple[str, str], list[int]] = defaultdict(list)
    for j, mine in shingles.items():
        rare = sorted(mine, key=lambda s: (common[s], s))[: len(mine) - math.ceil(least * len(mine) - 1e-9) + 1]
        for i in sorted({i for s in rare for i in index[s]}):
            other = shingles[i]
            if min(len(mine), len(other)) >= least * max(len(mine), len(other)) - 1e-9:
                shared = len(mine & other)
                likeness = shared / (len(mine) + len(other) - shared)
                if likeness >= least:
                    yield i, j, likeness
        for s in rare:
            index[s].append(j)


def _shingles(words: Sequence[str]) -> set[tuple[str, str]]:
    """Pairs of neighbouring words; the edges of the sentence count as words."""
    padded = ["", *(w.lower() for w in words), ""]
    return set(pairwise(padded))
