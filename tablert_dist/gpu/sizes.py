"""A few sizes that batches are padded to, so that a GPU sees the same shapes again and again.

For each new shape a GPU's libraries choose kernels and its allocator grows, and a CUDA graph holds for one shape alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

SHAPES = 11
"""Different shapes that a training's batches have, but for an epoch's last, smaller one."""
MULTIPLE = 8
"""Words and subwords are multiples of this: tensor cores multiply tiles of 8."""
USUAL = 0.9
"""Share of the batches that the smaller number of rows, and of pieces, is enough for."""
SPARSE = 2
"""Rows over a batch's own, above which they are not filled up: an epoch's last, smaller batch has a shape of its own."""


@dataclass(frozen=True, order=True)
class Sizes:
    """Axes of a batch: its words (N), subwords (S), subwords of a word (P) and sentences (B)."""

    words: int
    subwords: int
    pieces: int
    rows: int

    @property
    def cells(self) -> int:
        """Of the tables, padding included."""
        return self.rows * self.words**2

    def holds(self, other: Sizes) -> bool:
        """Return whether a batch of sizes `other` fits."""
        return all(mine >= theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True))


class Ladder:
    """At most SHAPES sizes, of which `of` chooses the smallest that holds a batch.

    `batches` are sizes that the training's batches have, `most` are sizes that hold every batch that can come. The numbers
    of words are chosen so that as few table cells as possible of these batches are padding.
    """

    def __init__(self, batches: Sequence[Sizes], most: Sizes) -> None:
        pieces = _usual([b.pieces for b in batches], most.pieces)
        rows = _usual([b.rows for b in batches], most.rows)
        steps = _steps([_up(b.words) for b in batches], max(1, SHAPES // (len(pieces) * len(rows)) - 1))
        between = zip([0, *steps], steps, strict=False)
        subwords = [_enough([b.subwords for b in batches if low < _up(b.words) <= high]) for low, high in between]
        steps, subwords = [*steps, _up(most.words)], [*subwords, _up(most.subwords)]
        found = {Sizes(n, s, p, b) for n, s in zip(steps, subwords, strict=True) for p in pieces for b in rows}
        self.sizes = sorted(found, key=lambda sizes: (sizes.cells, astuple(sizes)))

    def of(self, batch: Sizes) -> Sizes:
        """Return the sizes to pad a batch to; its own where it is larger than all, or most rows would be empty."""
        sizes = next((sizes for sizes in self.sizes if sizes.holds(batch)), batch)
        return batch if sizes.rows > SPARSE * batch.rows else sizes


def _up(length: int) -> int:
    return math.ceil(length / MULTIPLE) * MULTIPLE


def _enough(subwords: Sequence[int]) -> int:
    """What nearly all have room in; a batch with more takes the next number of words."""
    return _up(int(np.quantile(subwords, 0.95, method="higher")))


def _usual(found: Sequence[int], most: int) -> list[int]:
    """What is enough for most batches, and what is for all; one number where that is nearly the same."""
    few = int(np.quantile(found, USUAL, method="higher"))
    return [most] if few >= 0.75 * most else [few, most]


def _steps(lengths: Sequence[int], most: int) -> list[int]:
    """At most `most` of the values, the largest among them, so that the sum of the squares of each value's next step is
    smallest: dynamic programming over the values, in their order, and the number of steps."""
    values, counts = np.unique(np.asarray(lengths, np.int64), return_counts=True)
    until = np.concatenate([[0], np.cumsum(counts)])
    squares = values**2
    cost: NDArray[np.int64] = squares * until[1:]
    steps = [[j] for j in range(len(values))]
    for _ in range(1, most):
        # Of the values up to the j-th: the best last step but one is i.
        added = np.where(
            np.tri(len(values), k=-1, dtype=bool), squares[:, None] * (until[1:, None] - until[None, 1:]), 0
        )
        ways = np.where(np.tri(len(values), k=-1, dtype=bool), cost[None] + added, np.iinfo(np.int64).max)
        best = ways.argmin(1)
        better = ways.min(1) < cost
        steps = [[*steps[best[j]], j] if better[j] else steps[j] for j in range(len(values))]
        cost = np.where(better, ways.min(1), cost)
    return [int(values[j]) for j in steps[-1]]
