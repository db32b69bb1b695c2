"""The queue before one model: requests as pieces, small ones together, large ones in the time between."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tablert_dist.config import Config
from tablert_dist.errors import InputError
from tablert_dist.inference.gpu_memory import gpu_cells
from tablert_dist.inference.pieces import Piece
from tablert_dist.schema import Sentence
from tablert_dist.serve.lane import Lane, Reads, Share

CPU_CELLS = 8_000
"""Cells of a batch on a CPU, where more leave its caches: 240 CoNLL04 sentences in batches of 1, of 3,000, 8,000 and 20,000
cells took 2.25, 1.93, 1.70 and 1.91 s."""
BULK_PART = 0.15
"""Of such a batch, for a bulk request's beside small ones: so much of its time does a small request wait at most."""
_LONGEST_RETRY_S = 30
_SMOOTHING = 0.1
_TELLING = 0.1


class QueueFullError(Exception):
    """There is no room, or too much work before it; try again in `retry_after` seconds."""

    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(f"{reason}; try again in {retry_after} s")
        self.retry_after = retry_after


class ClosingError(Exception):
    """The batcher takes no more: it is shutting down."""


class RefusedError(InputError):
    """The model cannot read one piece of a request; `index` says which."""

    def __init__(self, index: int, reason: InputError) -> None:
        super().__init__(str(reason))
        self.index = index


class Batcher:
    """Reads the pieces of all requests: those within `predict.max_cells` (on a CPU at most CPU_CELLS) in one thread, in
    batches; longer ones in another of low priority, so that nobody waits for a sentence of 500 words but its sender.

    Without `batching` every request is a batch of its own. Make one inside a running event loop.
    """

    def __init__(self, config: Config, batching: bool = True, on_batch: Callable[[int], None] | None = None) -> None:
        self._on_batch = on_batch or (lambda size: None)
        self._room, self._patience = config.serve.queue, config.serve.deadline_seconds
        if config.predict.provider == "cpu":
            self.max_cells = min(config.predict.max_cells or CPU_CELLS, CPU_CELLS)
        else:
            self.max_cells = config.predict.max_cells or gpu_cells()
        bulk = max(1, int(BULK_PART * self.max_cells))
        wait = config.serve.max_wait_ms / 1000 if batching else 0.0
        self._light = Lane("model", self.max_cells, bulk, wait, self._note, together=batching)
        self._heavy = Lane("long", 1, 1, 0.0, self._note, low_priority=True, together=False)
        self._texts = 0
        self._closing = False
        self._seconds_per_cell = 1e-5
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        """Texts of requests that are not answered yet."""
        return self._texts

    @property
    def cells(self) -> int:
        """Table cells that wait."""
        return self._light.cells + self._heavy.cells

    @contextlib.contextmanager
    def room(self, texts: int) -> Iterator[None]:
        """Count a request's texts while it is answered. Raises QueueFullError where they have no room, ClosingError at the
        end."""
        if self._closing:
            raise ClosingError
        if self._texts + texts > self._room:
            raise QueueFullError("the queue is full", self._retry_after())
        self._texts += texts
        try:
            yield
        finally:
            self._texts -= texts

    async def submit(self, reader: Reads, pieces: Sequence[Piece]) -> list[Sentence]:
        """What `reader` finds in all pieces, in their order.

        Raises QueueFullError where they would not be read within `serve.deadline_seconds`, ClosingError at the end, and
        RefusedError for the first one that `reader` refuses. Cancelling a call removes its pieces from the queue; other
        calls are unaffected.
        """
        if self._closing:
            raise ClosingError
        if not pieces:
            return []
        cells, before = sum(piece.cells for piece in pieces), self.cells
        if before and cells > self.max_cells and (before + cells) * self._seconds_per_cell > self._patience:
            raise QueueFullError(
                f"{cells} table cells behind {before} others would not be read within {self._patience:g} s "
                "(serve.deadline_seconds)",
                self._retry_after(),
            )
        results: list[Any] = [None] * len(pieces)
        left, ended = len(pieces), self._loop.create_future()

        def done(place: int, result: Sentence | Exception) -> None:
            nonlocal left
            results[place] = result
            left -= 1
            if ended.done():
                return
            if isinstance(result, Exception):
                refused = RefusedError(place, result) if isinstance(result, InputError) else result
                ended.set_exception(refused)
            elif not left:
                ended.set_result(None)

        now = self._loop.time()
        light = [(i, piece) for i, piece in enumerate(pieces) if piece.cells <= self.max_cells]
        heavy = [(i, piece) for i, piece in enumerate(pieces) if piece.cells > self.max_cells]
        bulk = sum(piece.cells for _, piece in light) > self.max_cells
        shares = [Share(reader, light, now, done, bulk), Share(reader, heavy, now, done, bulk=True)]
        lanes = [(lane, share) for lane, share in zip((self._light, self._heavy), shares, strict=True) if share.pieces]
        try:
            for lane, share in lanes:
                lane.add(share)
            await ended
        finally:
            for lane, share in lanes:
                lane.withdraw(share)
        return results

    async def close(self) -> None:
        """Take no more, answer those that wait, end the threads."""
        self._closing = True
        await self._light.close()
        await self._heavy.close()

    def _note(self, count: int, cells: int, seconds: float) -> None:
        self._on_batch(count)
        if cells >= _TELLING * self.max_cells:  # a short sentence's time says nothing about cells
            self._seconds_per_cell += _SMOOTHING * (seconds / cells - self._seconds_per_cell)

    def _retry_after(self) -> int:
        return min(_LONGEST_RETRY_S, max(1, math.ceil(self.cells * self._seconds_per_cell)))
