"""An output file of lines that appears under its name when it is whole, and can be gone on with when it is not."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tablert_dist.errors import InputError, counted
from tablert_dist.storage.atomic import write_json, writing
from tablert_dist.storage.lease import Lease, LeaseFile

log = logging.getLogger(__name__)
READ = "read"
"""In the file that says what made the lines: how many lines of the input they are of, and their hash."""


@dataclass(frozen=True)
class Place:
    """How far an input was read: its first lines, and the hash of these."""

    lines: int
    sha256: str


class Lines:
    """Keeps count of an input's lines as they are read, and their hash."""

    def __init__(self) -> None:
        self._count, self._digest = 0, hashlib.sha256()

    def after(self, lines: Iterable[str]) -> Place:
        """The place after these further lines."""
        for line in lines:
            self._count += 1
            self._digest.update(line.encode("utf-8", "surrogatepass"))
        return Place(self._count, self._digest.copy().hexdigest())


@dataclass(frozen=True)
class Allowed:
    """What the caller said."""

    resume: bool = False
    force: bool = False
    """Write over a file that is there."""
    changed: bool = False
    """Go on though the input is another than it was."""


class Output:
    """Standard output for `-`. Otherwise lines go to `.NAME.part`, beside a file that says what made them.

    `lines` are those that an interrupted run has left. `source`: the lines of the input from its beginning, read to see
    that they are those of before. Raises InputError where another process writes the file, where there is an interrupted
    one and `resume` was not said, or a finished one and not `force`, and where it was made by something else than `state`.
    """

    def __init__(self, out: str, state: Mapping[str, Any], allowed: Allowed, source: Iterable[str] = ()) -> None:
        self.lines = 0
        self._path = None if out == "-" else Path(out)
        if self._path is None:
            self._file: IO[str] = sys.stdout
            return
        self._state, self._allowed = dict(state), allowed
        self._part = self._path.with_name(f".{self._path.name}.part")
        self._about = self._path.with_name(f".{self._path.name}.part.json")
        if not self._path.absolute().parent.is_dir():
            raise InputError(f"{out}: cannot be written: there is no folder '{self._path.parent}'")
        lease = LeaseFile(self._path.with_name(f".{self._path.name}.lease"))
        with writing(self._path):
            self._lease = Lease.take(lease, str(out), "wait for its end, or give another --out")
        try:
            self._open(source)
        except BaseException:
            self._lease.release()
            raise

    def _open(self, source: Iterable[str]) -> None:
        assert self._path is not None
        if self._path.is_file() and not self._allowed.force:
            raise InputError(f"{self._path} exists: give another --out, or write over it with --force")
        if self._allowed.resume:
            self.lines = self._left(source)
        elif self._part.exists() and self._part.stat().st_size:
            raise InputError(
                f"{self._path}: an earlier run was interrupted; resume it with --resume, or delete {self._part} to start "
                f"again"
            )
        with writing(self._path):
            write_json(self._about, self._state)
            self._file = self._part.open("a" if self._allowed.resume else "w", encoding="utf-8")

    def write(self, line: str) -> None:
        """Add a line."""
        self._file.write(line + "\n")

    def flush(self, read: Place | None = None) -> None:
        """What was written survives a kill of this process; `read` says of which of the input's lines it is."""
        self._file.flush()
        if read is not None and self._path is not None:
            self._state[READ] = asdict(read)
            with writing(self._path):
                write_json(self._about, self._state)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is None:
            return
        self._file.close()
        if kind is None:
            self._part.replace(self._path)
            self._about.unlink(missing_ok=True)
        elif issubclass(kind, InputError):
            # Refused, not interrupted: there is nothing to go on with.
            self._part.unlink(missing_ok=True)
            self._about.unlink(missing_ok=True)
        self._lease.release()

    def _left(self, source: Iterable[str]) -> int:
        """Whole lines of the interrupted run that are of input on record; what comes after them is cut off."""
        if not (self._part.exists() and self._about.exists()):
            raise InputError(f"--resume: there is no interrupted {self._path} ({self._part} is missing)")
        before = json.loads(self._about.read_text(encoding="utf-8"))
        changed = sorted(key for key in self._state if before.get(key) != self._state[key])
        if changed:
            raise InputError(f"--resume: {self._path} was begun with another {', '.join(changed)}")
        known = before.get(READ)
        if known:
            self._compare(known, source)
            self._state[READ] = known
        most = int(known["lines"]) if known else None
        whole, count = 0, 0
        with self._part.open("rb+") as file:
            for line in itertools.islice(file, most):
                if line.endswith(b"\n"):
                    whole += len(line)
                    count += 1
            file.truncate(whole)
        return count

    def _compare(self, known: Mapping[str, Any], source: Iterable[str]) -> None:
        read = Lines().after(itertools.islice(source, int(known["lines"])))
        if read.sha256 == known["sha256"]:
            return
        told = (
            f"{self._state['in']} has changed: its first {counted(int(known['lines']), 'line')}, of which {self._part} holds "
            f"the results, had the sha256 {known['sha256'][:8]} and have {read.sha256[:8]} now"
        )
        if not self._allowed.changed:
            raise InputError(
                f"--resume: {told}; delete {self._part} to start again, or go on with --accept-changed-data"
            )
        self._state["accepted"] = told
        log.warning("%s: accepted", told)
