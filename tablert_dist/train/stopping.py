"""How a training is asked to end: by a signal in the process that was started, by a file in workers elsewhere. No torch."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from tablert_dist.errors import Stopped, counted
from tablert_dist.runs.flag import StopFlag

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
        sys.stderr.write(f"{self.by}: the run saves and ends; once more ends it at once\n")
        if not self._depth:
            raise Stopped("it ended outside of the training; what was saved before is kept", number)


class StopWatch:
    """A worker's: asked by the run's flag, or because its node is being taken away (`leaving`). A thread looks."""

    def __init__(self, flag: StopFlag, rank: int, leaving: Callable[[], bool]) -> None:
        self.asked = False
        self._flag, self._rank, self._leaving = flag, rank, leaving
        self._over = threading.Event()

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """As `Stop.deferred`."""
        thread = threading.Thread(target=self._look, name="tablert-stop", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()

    def _look(self) -> None:
        pause = LOOK_S if self._flag.folder.shared else LOOK_URL_S
        since = LEAVING_S
        while not self._over.wait(pause):
            since += pause
            if self._flag.word() != "no":
                self.asked = True
                if not self._rank:
                    with contextlib.suppress(OSError):
                        self._flag.put("seen")
                return
            if since >= LEAVING_S:
                since = 0.0
                if self._leaving():
                    self.asked = True
                    return


def ended_after(seed: int, done: int, epochs: int, step: int = 0, steps: int = 0) -> str:
    """How far a training came, in words."""
    within = f" and step {step} of {steps} of the next" if step else ""
    return f"seed {seed} has ended after {done} of {counted(epochs, 'epoch')}{within}, which are saved"


LOOK_S, LOOK_URL_S, LEAVING_S = 0.25, 1.0, 5.0
"""Seconds between two looks at the flag in a folder, at the flag at a URL, and at the node's state."""
BEGUN_S, SAVING_S = 4.0, 60.0
"""Seconds until a worker that trains has seen the flag, and until it has saved then: after those it is not waited for."""
PAUSE_S = 0.1


def attended(call: Callable[[], object], stop: Stop, flag: StopFlag, saved: Callable[[], bool] = lambda: False) -> None:
    """Run `call` in a thread, so that signals are taken at once: Ray's own calls would hold them, or take them themselves.

    When `stop` asks, the flag passes it on, and `call` has BEGUN_S to return, or SAVING_S if a worker answers; it is not
    waited for once `saved` says that there is nothing more to save. Raises what `call` raises, and then Stopped.
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
        told: float | None = None
        while not done.wait(PAUSE_S):
            if stop.asked and told is None:
                told = time.monotonic()
                flag.put("asked")
            if told is None:
                continue
            if saved():
                raise Stopped("its trials have saved where they were")
            waited = time.monotonic() - told
            if waited > BEGUN_S and (waited > SAVING_S or flag.word() != "seen"):
                raise Stopped("its workers were not training yet; what was saved before is kept")
    thread.join()
    if failed:
        raise failed[0]
