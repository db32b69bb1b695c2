"""Connections to the server: how many there may be, how long each may take, and which one goes when there are too many.

uvicorn limits the time between two requests (keep-alive) and no other: a client may send nothing, or a header a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
BACKLOG = 128
"""Connections that asyncio accepts in one go, before anything else runs."""
WAVES = 4
"""Times that it may do so before the first of them is counted or closed."""
SPARE = 16
"""Descriptors for files and threads, beyond those that are open at the start."""
ANSWER_SECONDS = 60.0
"""For a client to read its answer, beyond the time that its body and the model may take."""
_SWEEP_SECONDS = 0.5
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Connections:
    """The open connections, oldest first. `most` of them at once: a new one takes the place of the one that has been
    idle longest, and is refused where every one has a request."""

    def __init__(self, most: int, head_seconds: float, request_seconds: float) -> None:
        self.most, self.head_seconds, self.request_seconds = most, head_seconds, request_seconds
        self._open: dict[Any, None] = {}

    def guard(self, protocol: type[Any]) -> type[Any]:
        """A protocol class of uvicorn's that reports here."""
        connections = self

        class Guarded(protocol):  # type: ignore[misc]  # its HTTP implementations share no base
            waits_since: float | None = None
            """Since when the head of a request is awaited."""
            busy_since = 0.0
            known: Any = None
            """The request that `busy_since` belongs to."""

            def connection_made(self, transport: asyncio.Transport) -> None:
                super().connection_made(transport)
                self.waits_since = time.monotonic()
                connections.add(self)

            def connection_lost(self, exc: Exception | None) -> None:
                connections.remove(self)
                super().connection_lost(exc)

            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                now = time.monotonic()
                if self.idle:
                    self.waits_since = self.waits_since or now
                else:
                    self.waits_since = None
                    if self.cycle is not self.known:
                        self.known, self.busy_since = self.cycle, now

            @property
            def idle(self) -> bool:
                """Whether no request is being answered."""
                return self.cycle is None or bool(self.cycle.response_complete)

        return Guarded

    def add(self, connection: Any) -> None:
        """Count a new connection; where there are too many, close the one that has been idle longest."""
        self._open[connection] = None
        if len(self._open) <= self.most:
            return
        oldest = next(one for one in self._open if one.idle)
        self.remove(oldest)
        if oldest is connection:
            log.warning("%d connections have requests: a new one is refused", self.most)
            oldest.transport.write(_TOO_MANY)
            oldest.transport.close()
        else:
            log.warning("%d connections: the one that has been idle longest makes room", self.most)
            oldest.transport.abort()

    def remove(self, connection: Any) -> None:
        """Forget a connection."""
        self._open.pop(connection, None)

    def sweep(self) -> None:
        """Close those that took too long."""
        now = time.monotonic()
        for one in list(self._open):
            if one.waits_since is not None and now - one.waits_since > self.head_seconds:
                self.remove(one)
                one.transport.write(_TOO_SLOW)
                one.transport.close()
            elif not one.idle and now - one.busy_since > self.request_seconds:
                # Closing would wait for a client that does not read.
                one.transport.abort()

    async def keep_sweeping(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self.sweep()


def room_for(connections: int) -> tuple[int, int]:
    """How many of so many connections this process has file descriptors for, and how many it may accept in one go.

    Its soft limit is raised where the hard one allows.
    """
    folder = Path("/proc/self/fd")
    reserve = SPARE + (len(list(folder.iterdir())) if folder.is_dir() else SPARE)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = reserve + connections + WAVES * BACKLOG
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections, BACKLOG
    left = max(WAVES, soft - reserve)
    most = min(connections, left // 2)
    if most < connections:
        log.warning("descriptors for %d connections, not %d (serve.connections): raise ulimit -n", most, connections)
    return most, min(BACKLOG, left // 2 // WAVES)


class Throttle(logging.Filter):
    """Lets `BURST` records of a kind through in `SECONDS`; the next one says how many were left out."""

    BURST, SECONDS = 5, 60.0

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], list[float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """As logging says; a kind is a logger and a message before its arguments are put in."""
        key, now = (record.name, str(record.msg)[:200]), time.monotonic()
        began, count = self._seen.setdefault(key, [now, 0])
        if now - began > self.SECONDS:
            left_out = int(count) - self.BURST
            self._seen[key] = [now, 1]
            if left_out > 0:
                record.msg, record.args = f"{record.getMessage()} ({left_out} more like this before)", ()
            return True
        self._seen[key][1] += 1
        return count < self.BURST


@contextlib.contextmanager
def throttled() -> Iterator[None]:
    """The root logger's handlers, throttled: clients must not fill the disk with their mistakes."""
    handlers, throttle = list(logging.getLogger().handlers), Throttle()
    for handler in handlers:
        handler.addFilter(throttle)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(throttle)
