"""Who holds a run's folder, or an output: a small file that its holder renews, and that everyone reads before writing.

In a folder a lock makes reading and writing the file one act. An object store has no such act here (pyarrow 25 puts
without a condition): two that begin within SETTLE_S of each other both write, wait, and read again, and the one whose file
is there goes on. What that cannot exclude is a process that is held up between reading and writing for longer than
SETTLE_S; both then run until the next beat of the one whose file is gone, which ends.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tablert_dist.errors import InputError, RunError
from tablert_dist.storage.atomic import write_text
from tablert_dist.storage.remote import Remote

log = logging.getLogger(__name__)
BEAT_S, EXPIRES_S = 5.0, 30.0
"""Seconds between two signs of life, and after the last one until the holder is taken to be dead."""
SETTLE_S = 1.0
"""Where nothing locks: seconds between writing the file and reading whether it is still there."""


@dataclass(frozen=True)
class Holder:
    """Who holds it. Times in seconds since 1970."""

    owner: str
    host: str
    pid: int
    machine: str | None
    """The kernel's start and the process's namespace: where they are ours, whether `pid` lives can be looked up."""
    born: int
    """When the process was started, in the kernel's ticks: a number may be given to another one."""
    since: float
    beat: float

    @classmethod
    def me(cls) -> Holder:
        """This process, now."""
        now = time.time()
        return cls(uuid.uuid4().hex, socket.gethostname(), os.getpid(), _machine(), _born(os.getpid()), now, now)

    @property
    def lives(self) -> bool | None:
        """Whether its process is there; None where that cannot be looked up from here."""
        if self.machine is None or self.machine != _machine():
            return None
        return _born(self.pid) == self.born

    def dead(self, now: float) -> bool:
        """Whether it has died, as far as can be told at once."""
        lives = self.lives
        return now - self.beat > EXPIRES_S if lives is None else not lives

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host}, since {since}"


def parse(text: str | bytes | None) -> Holder | None:
    """The holder in a lease's file; None where there is none, or none that can be read."""
    try:
        return Holder(**json.loads(text or ""))
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True)
class LeaseFile:
    """Where a lease lies: a file in a folder, or one at a URL."""

    path: Path
    remote: Remote | None = None
    """With it, the file of `path`'s name there."""

    def read(self) -> Holder | None:
        """Who holds it. Raises OSError where that cannot be read."""
        if self.remote is not None:
            return parse(self.remote.read(self.path.name))
        with suppress(FileNotFoundError):
            return parse(self.path.read_text(encoding="utf-8"))
        return None

    def write(self, holder: Holder) -> None:
        """Put the holder there. Raises OSError, InputError or RunError where that cannot be written."""
        text = json.dumps(asdict(holder))
        if self.remote is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.path, text)
            return
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "lease").write_text(text, encoding="utf-8")
            self.remote.put(Path(folder, "lease"), self.path.name)

    def remove(self) -> None:
        """Nobody holds it."""
        if self.remote is not None:
            self.remote.delete(self.path.name)
        else:
            self.path.unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Alone with the file, if its file system has locks: yields whether it has."""
        if self.remote is not None:
            yield False
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                locked = True
            except OSError:  # some network file systems
                locked = False
            yield locked
        finally:
            os.close(folder)


class Lease:
    """Held from the call to `take` until `release`; a thread renews it. A context manager.

    A process that finds the lease another's, because it was held up for so long that it was taken for dead, ends at once:
    what it writes would be mixed with the other's.
    """

    def __init__(self, file: LeaseFile, holder: Holder, what: str) -> None:
        self.file, self.holder, self.what = file, holder, what
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="tablert-lease", daemon=True)
        self._thread.start()

    @classmethod
    def take(cls, file: LeaseFile, what: str, advice: str) -> Lease:
        """Hold `what`, taking it over, with a line, from a holder that has died.

        Raises InputError, with who holds it and the advice, where one is alive.
        """
        seen = file.read()
        if seen is not None and seen.lives is None and seen.dead(time.time()):
            # Its clock may differ from ours: a beat that comes says more than the age of the last one.
            log.info("waiting for a sign of life of %s, which holds %s …", seen, what)
            time.sleep(2 * BEAT_S)
        with file.alone() as locked:
            there = file.read()
            if there is not None and (not there.dead(time.time()) or (seen and there.beat != seen.beat)):
                raise InputError(f"{what} is held by {there}, {_ago(there)}; {advice}")
            mine = Holder.me()
            file.write(mine)
            if not locked:
                time.sleep(SETTLE_S)
                winner = file.read()
                if winner is not None and winner.owner != mine.owner:
                    raise InputError(f"{what} was taken at the same moment by {winner}; {advice}")
        if there is not None:
            log.warning("%s was held by %s, which has died (%s): taken over", what, there, _ago(there))
        return cls(file, mine, what)

    def release(self) -> None:
        """Hold it no longer."""
        if self._over.is_set():
            return
        self._over.set()
        self._thread.join()
        with suppress(OSError):
            there = self.file.read()
            if there is not None and there.owner == self.holder.owner:
                self.file.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _renew(self) -> None:
        while not self._over.wait(BEAT_S):
            try:
                there = self.file.read()
                if there is None or there.owner == self.holder.owner:
                    self.file.write(replace(self.holder, beat=time.time()))
                    continue
            except (OSError, InputError, RunError) as error:
                log.debug("%s: no sign of life could be written: %s", self.what, error)
                continue
            sys.stderr.write(f"error: {self.what} was taken over by {there}; this process ends\n")
            sys.stderr.flush()
            os._exit(1)


def _ago(holder: Holder) -> str:
    return f"last sign of life {max(0.0, time.time() - holder.beat):.0f} s ago"


def _machine() -> str | None:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return None


def _born(pid: int) -> int:
    """When a process was started; 0 where there is none, or it has ended and nobody has asked how."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if state in "ZX" else int(fields[18])
