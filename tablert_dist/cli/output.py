"""An output file of lines that appears under its name when it is whole, and can be gone on with when it is not."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tablert_dist.errors import InputError
from tablert_dist.storage.atomic import writing


class Output:
    """Standard output for `-`. Otherwise lines go to `.NAME.part`, beside a file that says what made them.

    `lines` are those that an interrupted run has left. Raises InputError where there is one and `resume` was not said,
    or where it was made by something else than `state`.
    """

    def __init__(self, out: str, state: Mapping[str, Any], resume: bool) -> None:
        self.lines = 0
        self._path = None if out == "-" else Path(out)
        if self._path is None:
            self._file: IO[str] = sys.stdout
            return
        self._part = self._path.with_name(f".{self._path.name}.part")
        self._state = self._path.with_name(f".{self._path.name}.part.json")
        if resume:
            self.lines = self._left(state)
        elif self._part.exists() and self._part.stat().st_size:
            raise InputError(
                f"{out}: an earlier run was interrupted; resume it with --resume, or delete {self._part} to start again"
            )
        with writing(self._path):
            self._state.write_text(json.dumps(state), encoding="utf-8")
            self._file = self._part.open("a" if resume else "w", encoding="utf-8")

    def write(self, line: str) -> None:
        """Add a line."""
        self._file.write(line + "\n")

    def flush(self) -> None:
        """What was written survives a kill of this process."""
        self._file.flush()

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
            self._state.unlink(missing_ok=True)
        elif issubclass(kind, InputError):
            # Refused, not interrupted: there is nothing to go on with.
            self._part.unlink(missing_ok=True)
            self._state.unlink(missing_ok=True)

    def _left(self, state: Mapping[str, Any]) -> int:
        """Whole lines of the interrupted run; a half of one is cut off."""
        if not (self._part.exists() and self._state.exists()):
            raise InputError(f"--resume: there is no interrupted {self._path} ({self._part} is missing)")
        before = json.loads(self._state.read_text(encoding="utf-8"))
        changed = sorted(key for key in state if before.get(key) != state[key])
        if changed:
            raise InputError(f"--resume: {self._path} was begun with another {', '.join(changed)}")
        whole, count = 0, 0
        with self._part.open("rb+") as file:
            for line in file:
                if line.endswith(b"\n"):
                    whole += len(line)
                    count += 1
            file.truncate(whole)
        return count
