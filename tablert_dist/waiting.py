"""A line for each wait that is longer than a moment: `starting Ray …`. It is logged, so a library user sees none."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

FIRST_S = 1.5
"""Seconds until a wait is told."""
AGAIN_S = 5.0
"""Seconds until it is told again, with how long it lasts so far; then twice as many, and so on."""
log = logging.getLogger(__name__)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Log `what …` if the block lasts longer than FIRST_S, and again after AGAIN_S, and after twice as long each time.

    A thread does it: the block may be one call that returns late, such as an import.
    """
    over = Event()
    started = time.monotonic()

    def tell() -> None:
        if over.wait(FIRST_S):
            return
        log.info("%s …", what)
        pause = AGAIN_S
        while not over.wait(pause):
            pause *= 2
            log.info("%s … %.0f s", what, time.monotonic() - started)

    teller = Thread(target=tell, name="tablert-waiting", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def announce(what: str) -> None:
    """Log `what …` now: a wait that always takes long, and whose end another process sees."""
    log.info("%s …", what)


def show_waits(to_stdout: bool = False) -> None:
    """Print these lines, plain, on standard error, or on standard output; a second call changes nothing."""
    if not log.handlers:
        log.addHandler(_Lines(to_stdout))
        log.setLevel(logging.INFO)
        log.propagate = False


class _Lines(logging.Handler):
    """To the stream of that name at the time: a test, or a notebook, puts another in its place."""

    def __init__(self, to_stdout: bool) -> None:
        super().__init__()
        self._to_stdout = to_stdout

    def emit(self, record: logging.LogRecord) -> None:
        """As `logging.Handler.emit`."""
        print(record.getMessage(), file=sys.stdout if self._to_stdout else sys.stderr, flush=True)
