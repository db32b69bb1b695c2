"""A file in a run's folder by which the process that started a run asks its workers, on any machine, to end."""

from __future__ import annotations

from typing import Literal, cast

from tablert_dist.runs.folder import RunFolder

FILE = "stop.txt"
Word = Literal["no", "asked", "seen"]


class StopFlag:
    """`no` while the run goes on, `asked`, then `seen` once a worker that trains saves and ends.

    Written in place: NFS notices another content of a file at once, but a new file only after up to a minute.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def put(self, word: Word) -> None:
        """Write the file, to the run's URL too. Raises OSError where that cannot be done."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        (self.folder.path / FILE).write_text(word, encoding="utf-8")
        self.folder.mirror.push_files([FILE])

    def word(self) -> Word:
        """What the file says; `no` where there is none, or where it cannot be read now."""
        try:
            if self.folder.remote is not None:
                text = (self.folder.remote.read(FILE) or b"").decode()
            else:
                text = (self.folder.path / FILE).read_text(encoding="utf-8")
        except OSError:
            return "no"
        return cast(Word, text) if text in {"asked", "seen"} else "no"

    def remove(self) -> None:
        """Remove the file, at the run's URL too."""
        (self.folder.path / FILE).unlink(missing_ok=True)
        if self.folder.remote is not None:
            self.folder.remote.delete(FILE)
