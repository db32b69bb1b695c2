"""A job's folder on this machine and its copy at a URL, where there is no folder that every node sees."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

from tablert_dist.storage.checkpoint_folder import META, TRAINER, checkpoints, is_checkpoint, partials
from tablert_dist.storage.remote import Remote

log = logging.getLogger(__name__)
JOURNAL = ("journal.jsonl", "journal.state.json")
RESULT = "result.json"
SMALL = (RESULT, *JOURNAL)
"""What is copied of a job beside its checkpoints."""


_PUSHING = threading.Lock()


class Mirror:
    """`push` makes the copy like the folder, `pull` the folder like the copy.

    A checkpoint's META goes last when it is written and first when it is removed: one without META is none.
    """

    def __init__(self, folder: Path, remote: Remote) -> None:
        self.folder, self.remote = folder, remote

    def push(self, names: Iterable[str] = SMALL) -> None:
        """Upload the checkpoints that are not there yet, then `names`; then remove the checkpoints that are gone here."""
        there = self.remote.files()
        here = {p.name: p for p in (*checkpoints(self.folder), *partials(self.folder))}
        for name, folder in here.items():
            meta = f"{name}/{META}"
            if meta not in there or self.remote.read(meta) != (folder / META).read_bytes():
                self.remote.delete(meta)
                for file in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != META):
                    self.remote.put(file, f"{name}/{file.relative_to(folder).as_posix()}")
                self.remote.put(folder / META, meta)
            elif f"{name}/{TRAINER}" in there and not (folder / TRAINER).is_file():
                self.remote.delete(f"{name}/{TRAINER}")
        self.push_files(names)
        gone = [path for path in there if is_checkpoint(path) and path.split("/")[0] not in here]
        for path in sorted(gone, key=lambda path: not path.endswith(f"/{META}")):
            self.remote.delete(path)

    def push_files(self, names: Iterable[str] = SMALL) -> None:
        """Upload those of these files that are there."""
        # The tracker's thread does so too, and the older content must not come last.
        with _PUSHING:
            for name in names:
                if (self.folder / name).is_file():
                    self.remote.put(self.folder / name, name)

    def pull(self, trainer: bool = True, names: Iterable[str] = SMALL) -> None:
        """Download the complete checkpoints (`trainer`: with the optimiser's state) and `names`; remove other checkpoints."""
        there = self.remote.files()
        complete = {file.split("/")[0] for file in there if is_checkpoint(file) and file.endswith(f"/{META}")}
        for stale in (*checkpoints(self.folder), *partials(self.folder)):
            name = stale.name
            if name not in complete or self.remote.read(f"{name}/{META}") != (stale / META).read_bytes():
                shutil.rmtree(stale)
        for file, size in sorted(there.items(), key=lambda item: item[0].endswith(f"/{META}")):
            target = self.folder / file
            wanted = file.split("/")[0] in complete if is_checkpoint(file) else file in names
            if file.endswith(f"/{TRAINER}") and not trainer:
                continue
            unchanged = is_checkpoint(file) and target.is_file() and target.stat().st_size == size
            if wanted and not unchanged:
                self.remote.get(file, target)

    def fetch(self, name: str) -> bool:
        """Download one file; whether the URL has it."""
        try:
            self.remote.get(name, self.folder / name)
        except FileNotFoundError:
            return False
        return True

    def folders_with(self, name: str) -> list[str]:
        """The folders right below that hold a file of this name."""
        return sorted(f.split("/")[0] for f in self.remote.files() if f.count("/") == 1 and f.endswith(f"/{name}"))

    def pull_cards(self, names: Iterable[str]) -> None:
        """Download what a trial is read by: those of these files that are there, and META of each checkpoint."""
        self.pull_files([f for f in self.remote.files() if f in set(names) or f.endswith(f"/{META}")])

    def pull_files(self, names: Iterable[str] = SMALL) -> None:
        """Download those of these files that are there."""
        there = self.remote.files()
        for name in names:
            if name in there:
                self.remote.get(name, self.folder / name)

    def pull_checkpoint(self, name: str) -> None:
        """Download one checkpoint for its model: without the trainer's state."""
        files = [
            file for file in self.remote.files() if file.startswith(f"{name}/") and not file.endswith(f"/{TRAINER}")
        ]
        for file in sorted(files, key=lambda file: file.endswith(f"/{META}")):
            self.remote.get(file, self.folder / file)


class NoMirror:
    """Of a folder that every node sees: what is written there needs no copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def push(self, names: Iterable[str] = SMALL) -> None:
        """Nothing."""

    def push_files(self, names: Iterable[str] = SMALL) -> None:
        """Nothing."""

    def pull(self, trainer: bool = True, names: Iterable[str] = SMALL) -> None:
        """Nothing."""

    def fetch(self, name: str) -> bool:
        """Whether the file is there."""
        return (self.folder / name).is_file()

    def folders_with(self, name: str) -> list[str]:
        """As `Mirror.folders_with`."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{name}"))

    def pull_cards(self, names: Iterable[str]) -> None:
        """Nothing."""

    def pull_files(self, names: Iterable[str] = SMALL) -> None:
        """Nothing."""

    def pull_checkpoint(self, name: str) -> None:
        """Nothing."""
