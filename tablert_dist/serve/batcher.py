"""One queue of texts before one model: batches under a budget of table cells, run in a single thread."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tablert_dist.batching import WASTE
from tablert_dist.config import Config
from tablert_dist.errors import InputError
from tablert_dist.inference.gpu_memory import gpu_cells

Item = str | list[str]
"""A text, or the words of a sentence."""
Run = Callable[[list[Item]], list[Any]]
_WORD = re.compile(r"\w+|[^\w\s]")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_LOOKED_AT = 4_000
"""Characters of a text whose words are counted; the rest is taken to be alike."""
CPU_CELLS = 8_000
"""Cells of a batch on a CPU, where more leave its caches: 240 CoNLL04 sentences in batches of 1, of 3,000, 8,000 and 20,000
cells took 2.25, 1.93, 1.70 and 1.91 s."""
_LONGEST_RETRY_S = 30
_SMOOTHING = 0.1


class QueueFullError(Exception):
    """The queue has no room; try again in `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full; try again in {retry_after} s")
        self.retry_after = retry_after


class ClosingError(Exception):
    """The batcher takes no more: it is shutting down."""


class RefusedError(InputError):
    """The model cannot read one text of a request; `index` says which."""

    def __init__(self, index: int, reason: InputError) -> None:
        super().__init__(str(reason))
        self.index = index


@dataclass(frozen=True)
class Size:
    """About how much work an item is."""

    sentences: int
    longest: int
    """Words of the longest sentence."""
    cells: int
    """Words squared, over the sentences."""


@dataclass(eq=False)
class _Waiting:
    item: Item
    size: Size
    arrived: float
    future: asyncio.Future[Any]


class Batcher:
    """Gathers the texts of all requests into batches for `run`, which is never called twice at once.

    A batch starts when its cells fill `predict.max_cells` (on a CPU at most CPU_CELLS), or `serve.max_wait_ms` after its
    first text came. It holds the oldest text and others of about its length: cells grow with the square of the longest.
    Without `batching` every text is a batch of its own. Make one inside a running event loop.
    """

    def __init__(
        self, run: Run, config: Config, batching: bool = True, on_batch: Callable[[int], None] | None = None
    ) -> None:
        self._run, self._batching = run, batching
        self._on_batch = on_batch or (lambda size: None)
        self._room = config.serve.queue
        if config.predict.provider == "cpu":
            self._max_cells = min(config.predict.max_cells or CPU_CELLS, CPU_CELLS)
        else:
            self._max_cells = config.predict.max_cells or gpu_cells()
        self._split = config.predict.split_sentences
        self._max_wait = config.serve.max_wait_ms / 1000 if batching else 0.0
        self._waiting: list[_Waiting] = []
        self._closing = False
        self._seconds_per_text = 0.01
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._task = self._loop.create_task(self._work())

    def __len__(self) -> int:
        """Texts waiting, those of the running batch not counted."""
        return len(self._waiting)

    async def submit(self, items: Sequence[Item]) -> list[Any]:
        """The results of all items, in their order.

        Raises QueueFullError where they do not all fit, ClosingError at the end, and RefusedError for the first one that
        `run` refuses. Cancelling a call removes its texts from the queue; other calls are unaffected.
        """
        if self._closing:
            raise ClosingError
        if len(self._waiting) + len(items) > self._room:
            raise QueueFullError(self._retry_after())
        now = self._loop.time()
        mine = [_Waiting(item, estimate(item, self._split), now, self._loop.create_future()) for item in items]
        self._waiting.extend(mine)
        self._wake.set()
        results = []
        try:
            for index, waiting in enumerate(mine):
                try:
                    results.append(await waiting.future)
                except InputError as error:
                    raise RefusedError(index, error) from None
        finally:
            if len(results) < len(mine):
                self._withdraw(mine)
        return results

    async def close(self) -> None:
        """Take no more, answer those that wait, end the thread."""
        self._closing = True
        self._wake.set()
        await self._task
        self._thread.shutdown()

    def _withdraw(self, mine: Sequence[_Waiting]) -> None:
        for waiting in mine:
            # An exception that nobody fetches would be logged as a mistake of ours.
            if not waiting.future.cancel() and not waiting.future.cancelled():
                waiting.future.exception()
        self._waiting = [w for w in self._waiting if not w.future.done()]

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
            await self._wait_for_company()
            if batch := self._take():
                await self._answer(batch)

    async def _wait_for_company(self) -> None:
        """Return when the oldest text has waited long enough, or a batch is full."""
        while self._waiting and not self._closing:
            left = self._waiting[0].arrived + self._max_wait - self._loop.time()
            if left <= 0 or sum(w.size.cells for w in self._waiting) >= self._max_cells:
                return
            self._wake.clear()
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
            except TimeoutError:
                return

    def _take(self) -> list[_Waiting]:
        """The oldest and, nearest in length first, those that fit beside it without much padding."""
        batch = self._waiting[:1]
        if self._batching and batch:
            first = batch[0].size
            sentences, longest, own = first.sentences, first.longest, first.cells
            for waiting in sorted(self._waiting[1:], key=lambda w: abs(w.size.longest - first.longest)):
                size = waiting.size
                side, count, filled = max(longest, size.longest), sentences + size.sentences, own + size.cells
                if count * side**2 <= min(self._max_cells, WASTE * filled):
                    batch.append(waiting)
                    sentences, longest, own = count, side, filled
        taken = set(map(id, batch))
        self._waiting = [w for w in self._waiting if id(w) not in taken]
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        started = self._loop.time()
        results = await self._loop.run_in_executor(self._thread, self._attempt, [w.item for w in batch])
        spent = (self._loop.time() - started) / len(batch)
        self._seconds_per_text += _SMOOTHING * (spent - self._seconds_per_text)
        self._on_batch(len(batch))
        for waiting, result in zip(batch, results, strict=True):
            if waiting.future.done():
                continue
            if isinstance(result, Exception):
                waiting.future.set_exception(result)
            else:
                waiting.future.set_result(result)

    def _attempt(self, items: list[Item]) -> list[Any]:
        """In the thread: results, or the exception in the place of each text that has none."""
        try:
            results = self._run(items)
            if len(results) != len(items):
                raise RuntimeError(f"{len(items)} texts gave {len(results)} results")
            return results
        except Exception as error:
            if len(items) == 1:
                return [error]
        # One text of several is at fault; the others' requests must not fail with it.
        return [self._attempt([item])[0] for item in items]

    def _retry_after(self) -> int:
        return min(_LONGEST_RETRY_S, max(1, math.ceil(len(self._waiting) * self._seconds_per_text)))


def estimate(item: Item, split: bool) -> Size:
    """How large an item is for the model, which reads a text sentence by sentence where `split` says so."""
    if not isinstance(item, str):
        return Size(1, len(item), len(item) ** 2)
    seen = item[:_LOOKED_AT]
    lengths = [len(_WORD.findall(part)) for part in (_SENTENCE_END.split(seen) if split else [seen])]
    times = max(1, round(len(item) / _LOOKED_AT))
    if not split:
        return Size(1, times * lengths[0], (times * lengths[0]) ** 2)
    return Size(times * len(lengths), max(lengths), times * sum(n**2 for n in lengths))
