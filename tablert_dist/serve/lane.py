"""One thread before the model and the pieces that wait for it: whose turn it is, and what goes together."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from tablert_dist.batching import WASTE
from tablert_dist.inference.pieces import Piece
from tablert_dist.schema import Sentence

LOOKED_AT = 64
"""Pieces of one request that are looked at for a batch of several requests."""
BULK_TURN = 4
"""Every so many batches is one of a bulk request, however many small ones wait: it must not starve."""
LONELY_S = 1.0
"""Seconds without a small request after which a bulk one has whole batches."""
_LOW_PRIORITY = 10


class Reads(Protocol):
    """What a `Predictor` does with pieces."""

    def read_pieces(self, pieces: Sequence[Piece]) -> list[Sentence]:
        """What is found in each piece, in their order."""
        ...


Waits = tuple[int, Piece]
"""A piece and its place in its request."""


@dataclass(eq=False)
class Share:
    """The pieces of one request that wait in one lane, the shortest first."""

    reader: Reads
    pieces: list[Waits]
    arrived: float
    done: Callable[[int, Sentence | Exception], None]
    """Called with a piece's place and its result, or what went wrong with it."""
    bulk: bool = False
    served: int = 0
    """Table cells that have had their turn."""
    cells: int = field(init=False)

    def __post_init__(self) -> None:
        self.pieces.sort(key=lambda waiting: len(waiting[1].words))
        self.cells = sum(piece.cells for _, piece in self.pieces)

    def take(self, chosen: Sequence[Waits]) -> None:
        """Remove the chosen pieces."""
        places = {place for place, _ in chosen}
        self.pieces = [waiting for waiting in self.pieces if waiting[0] not in places]
        spent = sum(piece.cells for _, piece in chosen)
        self.cells -= spent
        self.served += spent

    def longest(self, most_cells: int) -> list[Waits]:
        """A batch of the longest pieces, padded to no more than `most_cells`; one at least."""
        side = max(1, len(self.pieces[-1][1].words))
        return self.pieces[-max(1, most_cells // side**2) :]

    def nearest(self, words: int) -> list[Waits]:
        """The pieces whose lengths are nearest to `words`."""
        at = bisect_left(self.pieces, words, key=lambda waiting: len(waiting[1].words))
        return self.pieces[max(0, at - LOOKED_AT // 2) : at + LOOKED_AT // 2]


Batch = list[tuple[Share, list[Waits]]]


class Lane:
    """Gathers waiting pieces into batches, and reads them one batch at a time in a thread of its own.

    A batch starts when its cells fill `max_cells`, or `max_wait` seconds after its first piece came. Small requests go
    together; the pieces of a bulk request fill the time between them, in batches of `bulk_cells` where a small one came
    within the last second, so that the next one waits for little. Make one inside a running event loop.
    """

    def __init__(
        self,
        name: str,
        max_cells: int,
        bulk_cells: int,
        max_wait: float,
        on_batch: Callable[[int, int, float], None],
        low_priority: bool = False,
        together: bool = True,
    ) -> None:
        self.shares: list[Share] = []
        self._max_cells, self._bulk_cells, self._max_wait = max_cells, bulk_cells, max_wait
        self._on_batch, self._together = on_batch, together
        self._closing = False
        self._batches = 0
        self._small_came = -math.inf
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name, initializer=_lower if low_priority else None)
        self._task = self._loop.create_task(self._work())

    @property
    def cells(self) -> int:
        """Table cells that wait."""
        return sum(share.cells for share in self.shares)

    def add(self, share: Share) -> None:
        """Queue a request's pieces."""
        if not share.bulk:
            self._small_came = share.arrived
        self.shares.append(share)
        self._wake.set()

    def withdraw(self, share: Share) -> None:
        """Forget what still waits of a request."""
        self.shares = [one for one in self.shares if one is not share]

    async def close(self) -> None:
        """Read what waits, then end the thread."""
        self._closing = True
        self._wake.set()
        await self._task
        self._thread.shutdown()

    async def _work(self) -> None:
        while self.shares or not self._closing:
            self._wake.clear()
            if batch := self._next():
                await self._read(batch)
                continue
            left = self.shares[0].arrived + self._max_wait - self._loop.time() if self.shares else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()

    def _next(self) -> Batch | None:
        """The batch whose turn it is; None where the small requests still wait for company."""
        small = [share for share in self.shares if not share.bulk]
        bulk = [share for share in self.shares if share.bulk]
        if small and not (bulk and self._batches % BULK_TURN == BULK_TURN - 1):
            # Company came, or did not, while a piece of a bulk request was read.
            waited = bool(bulk) or self._loop.time() - small[0].arrived >= self._max_wait
            if waited or self._closing or sum(share.cells for share in small) >= self._max_cells:
                return self._of_small(small)
        if bulk:
            # Who had least so far; then who came first.
            share = min(bulk, key=lambda share: (share.served // self._max_cells, share.arrived))
            lonely = self._loop.time() - self._small_came > LONELY_S
            return self._taken([(share, share.longest(self._max_cells if lonely else self._bulk_cells))])
        return None

    def _of_small(self, small: Sequence[Share]) -> Batch:
        """The oldest request's longest pieces and, nearest in length first, others' that fit without much padding."""
        first = small[0]
        chosen = first.longest(self._max_cells)
        batch: Batch = [(first, chosen)]
        if self._together and len(chosen) == len(first.pieces):
            longest, count, own = len(chosen[-1][1].words), len(chosen), sum(piece.cells for _, piece in chosen)
            others = [
                (share, waiting)
                for share in small[1:]
                if share.reader is first.reader
                for waiting in share.nearest(longest)
            ]
            for share, waiting in sorted(others, key=lambda one: abs(len(one[1][1].words) - longest)):
                words = len(waiting[1].words)
                side, filled = max(longest, words), own + words**2
                if (count + 1) * side**2 <= min(self._max_cells, WASTE * filled):
                    batch.append((share, [waiting]))
                    longest, count, own = side, count + 1, filled
        return self._taken(batch)

    def _taken(self, batch: Batch) -> Batch:
        for share, chosen in batch:
            share.take(chosen)
        self.shares = [share for share in self.shares if share.pieces]
        self._batches += 1
        return batch

    async def _read(self, batch: Batch) -> None:
        reader = batch[0][0].reader
        waiting = [(share, place, piece) for share, chosen in batch for place, piece in chosen]
        pieces = [piece for _, _, piece in waiting]
        started = self._loop.time()
        results = await self._loop.run_in_executor(self._thread, _attempt, reader, pieces)
        self._on_batch(len(pieces), sum(piece.cells for piece in pieces), self._loop.time() - started)
        for (share, place, _), result in zip(waiting, results, strict=True):
            share.done(place, result)


def _attempt(reader: Reads, pieces: Sequence[Piece]) -> list[Any]:
    """In the thread: results, or the exception in the place of each piece that has none."""
    try:
        results = reader.read_pieces(pieces)
        if len(results) != len(pieces):
            raise RuntimeError(f"{len(pieces)} pieces gave {len(results)} results")
        return results
    except Exception as error:
        if len(pieces) == 1:
            return [error]
    # One piece of several is at fault; the others' requests must not fail with it.
    return [_attempt(reader, [piece])[0] for piece in pieces]


def _lower() -> None:
    """This thread gives way to the others (Linux; elsewhere nothing)."""
    with contextlib.suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOW_PRIORITY)
