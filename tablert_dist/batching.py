"""Which sentences go together: seeded training batches of similar length, evaluation batches under a budget of cells."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from tablert_dist.errors import OutOfMemory

log = logging.getLogger(__name__)
T = TypeVar("T")

WASTE = 1.4
"""Padded cells over real ones that a part of a batch may have; each part costs a pass over the weights' gradients."""
NOISE = 0.15
"""Relative noise on the length that training batches are sorted by: enough to mix them differently every epoch."""

CELLS = 20_000
"""Table cells in a batch of evaluation or prediction on a CPU, where more of them are not faster."""
MOST_CELLS = 400_000
"""On a GPU, where a larger batch keeps it busy, up to here."""
BYTES_A_CELL = 16_384
"""Of a GPU's memory, with room to spare: 512 channels in fp32, a few copies of them, and the encoder's own."""


def cells_in(free_bytes: int) -> int:
    """Return the table cells of a batch of evaluation or prediction on a GPU with this much memory free."""
    return max(CELLS // 4, min(MOST_CELLS, free_bytes // 2 // BYTES_A_CELL))


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


def length_groups(indices: Sequence[int], lengths: Sequence[int], waste: float = WASTE) -> list[list[int]]:
    """A batch in parts of similar length, longest first: padded cells of each stay within `waste` × its own."""
    groups: list[list[int]] = []
    own = 0
    for index in sorted(indices, key=lambda i: -lengths[i]):
        cells = lengths[index] ** 2
        if not groups or (len(groups[-1]) + 1) * lengths[groups[-1][0]] ** 2 > waste * (own + cells):
            groups.append([])
            own = 0
        groups[-1].append(index)
        own += cells
    return groups


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


def halving(
    work: Callable[[list[int]], Sequence[T]], batches: Sequence[list[int]], lengths: Sequence[int]
) -> Iterator[tuple[int, T]]:
    """Yield each index with its result. Where `work` raises OutOfMemory, halve that batch's cells and those after it.

    `work` gives a result for each index of a batch. Raises OutOfMemory where a single sentence does not fit.
    """
    waiting = list(reversed(batches))
    while waiting:
        batch = waiting.pop()
        try:
            found = work(batch)
        except OutOfMemory as error:
            cells = len(batch) * max(lengths[i] for i in batch) ** 2
            if len(batch) == 1:
                raise OutOfMemory(f"{error} on one sentence of {lengths[batch[0]]} words: split it") from None
            log.warning("%s on %d table cells: going on with batches of %d", str(error), cells, cells // 2)
            rest = [i for b in (batch, *reversed(waiting)) for i in b]
            smaller = evaluation_batches([lengths[i] for i in rest], cells // 2)
            waiting = [[rest[i] for i in b] for b in reversed(smaller)]
            continue
        yield from zip(batch, found, strict=True)


def rank_share(batch: Sequence[int], lengths: Sequence[int], rank: int, world_size: int) -> list[int]:
    """The part of a global batch that one of `world_size` workers takes: about as many words as each other one's.

    Shares may be uneven in sentences, and empty. Every worker finds the same parts.
    """
    shares: list[list[int]] = [[] for _ in range(world_size)]
    words = [0] * world_size
    for index in sorted(batch, key=lambda i: (-lengths[i], i)):
        least = words.index(min(words))
        shares[least].append(index)
        words[least] += lengths[index]
    return shares[rank]
