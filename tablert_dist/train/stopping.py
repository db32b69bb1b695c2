"""How a training is asked to end: by a signal in the process that was started, by a file in workers elsewhere. No torch."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from tablert_dist.errors import Stopped

SIGNALS = (signal.SIGTERM, signal.SIGINT)
BY = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}


class Stop(Protocol):
    """What a training asks between its steps whether it is to end there."""

    @property
    def asked(self) -> bool:
        """Whether it is; costs no more than reading a variable."""

    def deferred(self) -> contextlib.AbstractContextManager[None]:
        """While this is entered, the training looks at `asked` by itself and ends in order."""


class Never:
    """Nobody asks."""

    asked = False

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """As `Stop.deferred`."""
        yield


NEVER = Never()


class StopSignals:
    """SIGTERM and SIGINT of a command: the first ends its run in order, the second ends the process at once.

    The first raises Stopped where the program is; inside `deferred` it sets `asked` only. A context manager that gives the
    signals back; they are taken in the main thread alone.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._depth = 0
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """As `Stop.asked`."""
        return self.number is not None

    @property
    def by(self) -> str:
        """The signal by name."""
        return BY.get(signal.Signals(self.number or signal.SIGTERM), "a signal")

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """As `Stop.deferred`."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._take) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # Where a run is being ended, the process is about to: a second signal still ends it at once.
            if not self.asked:
                signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.number = number
        for one in SIGNALS:
            signal.signal(one, self._take)
        sys.stderr.write(f"{self.by}: saving and ending; once more ends at once\n")
        if not self._depth:
            raise Stopped("nothing was trained since the last checkpoint", number)


def attended(call: Callable[[], None], tell: Callable[[], None], stop: Stop, grace: Callable[[float], bool]) -> None:
    """Run `call` in a thread, so that signals are taken at once: Ray's own calls would hold them, or take them themselves.

    When the end is asked for, `tell` passes it on; then `grace` is called with the seconds since and says whether to go
    on waiting. Raises what `call` raises, and Stopped where it was not waited for.
    """
    failed: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            call()
        except BaseException as error:
            failed.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=run, name="tablert-attended", daemon=True)
    with stop.deferred():
        thread.start()
        since = 0.0
        while not done.wait(PAUSE_S):
            if not stop.asked:
                continue
            if not since:
                tell()
            since += PAUSE_S
            if not grace(since):
                raise Stopped("the workers had not begun, or did not end in time: what they saved last is kept")
    thread.join()
    if failed:
        raise failed[0]


PAUSE_S = 0.2
