"""Batches prepared on the host while a GPU computes the one before, and one of each shape before the training begins."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from tablert_dist.gpu import is_cpu_path
from tablert_dist.tags import TagSet
from tablert_dist.train.context import Examples
from tablert_dist.train.trainer import HostStep, Trainer

AHEAD = 4
"""Steps that lie prepared at most."""
Batch = Sequence[int]


def prepared(
    trainer: Trainer, examples: Examples, batches: Sequence[Batch], tags: TagSet, rng_key: tuple[int, ...]
) -> Generator[tuple[Batch, HostStep], None, None]:
    """Yield each batch with its step. On a GPU a thread works AHEAD; on a CPU it would take the cores from the training."""
    if is_cpu_path(trainer.context.device):
        for batch in batches:
            yield batch, trainer.prepare(examples, batch, tags, rng_key)
        return
    pool = ThreadPoolExecutor(1, "tablert-batches")
    coming = iter(batches)
    waiting: deque[tuple[Batch, Future[HostStep]]] = deque()

    def submit(count: int) -> None:
        for batch in islice(coming, count):
            waiting.append((batch, pool.submit(trainer.prepare, examples, batch, tags, rng_key)))

    try:
        submit(AHEAD)
        while waiting:
            batch, future = waiting.popleft()
            step = future.result()
            submit(1)
            yield batch, step
    finally:
        pool.shutdown(cancel_futures=True)
