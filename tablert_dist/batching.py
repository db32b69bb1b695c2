"""Which sentences go together: seeded training batches of similar length, evaluation batches under a budget of cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NOISE = 0.15
"""Relative noise on the length that training batches are sorted by: enough to mix them anew every epoch."""


def training_batches(lengths: Sequence[int], batch_size: int, bucket: bool, seed: int, epoch: int) -> list[list[int]]:
    """Every index once, in batches of `batch_size` and one smaller if it does not divide; the same for the same seed.

    With `bucket`, a batch holds sentences of similar length; the batches come in random order.
    """
    rng = np.random.default_rng((seed, epoch))
    count = len(lengths)
    order = rng.permutation(count)
    sizes = [batch_size] * (count // batch_size)
    if count % batch_size:
        sizes.append(count % batch_size)
    if not bucket:
        return [part.tolist() for part in np.split(order, np.cumsum(sizes)[:-1])]
    noisy = np.asarray(lengths)[order] * rng.uniform(1 - NOISE, 1 + NOISE, count)
    order = order[np.argsort(noisy, kind="stable")]
    # The smaller batch must not always hold the longest sentences.
    rng.shuffle(sizes)
    parts = [part.tolist() for part in np.split(order, np.cumsum(sizes)[:-1])]
    return [parts[i] for i in rng.permutation(len(parts))]


def evaluation_batches(lengths: Sequence[int], max_cells: int) -> list[list[int]]:
    """Every index once, longest first, each batch within `max_cells` padded table cells (a longer sentence alone)."""
    batches: list[list[int]] = []
    room = 0
    for index in np.argsort(-np.asarray(lengths, np.int64), kind="stable").tolist():
        if not room:
            batches.append([])
            room = max(1, max_cells // max(1, lengths[index] ** 2))
        batches[-1].append(index)
        room -= 1
    return batches


def rank_share(batch: Sequence[int], rank: int, world_size: int) -> list[int]:
    """The part of a global batch that one of `world_size` workers takes; shares may be uneven or empty."""
    return list(batch[rank::world_size])
