"""A run's small files, read from its folder or from a copy of its URL; whatever is missing or cut off is passed over."""

from __future__ import annotations

import json
import os
import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tablert_dist.errors import InputError
from tablert_dist.storage.checkpoint_folder import META
from tablert_dist.storage.mirror import RESULT
from tablert_dist.storage.remote import Remote, is_url
from tablert_dist.tracking.journal import FILE, Event, read_events

RECORD, STOPPED, LEASE = "run.json", "stopped.json", "lease.json"
"""The second is in the folder of a trial that the scheduler stopped: it is not gone on with."""
SMALL = (RECORD, LEASE, RESULT, META, STOPPED, FILE)
"""What is read of a run."""


@contextmanager
def at_hand(storage: str) -> Iterator[Path]:
    """The storage as a folder: itself, or a copy of a URL's small files with their times, gone afterwards.

    Raises InputError where the URL cannot be read.
    """
    if not is_url(storage):
        yield Path(storage)
        return
    from pyarrow import fs

    remote = Remote(storage)
    system, base = remote.place
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = system.get_file_info(fs.FileSelector(base, allow_not_found=True, recursive=True))
            for info in found:
                if info.type == fs.FileType.File and info.base_name in SMALL:
                    inside = posixpath.relpath(info.path, base)
                    remote.get(inside, Path(folder, inside))
                    os.utime(Path(folder, inside), (info.mtime.timestamp(),) * 2)
        except OSError as error:
            raise InputError(f"{remote}: {str(error).strip().splitlines()[0]}") from None
        yield Path(folder)


def saved_in(folder: Path) -> tuple[Path, list[dict[str, float]]] | None:
    """The newest whole checkpoint and the history in it."""
    for path in sorted(folder.glob(f"epoch_*/{META}"), reverse=True):
        card = read_json(path)
        if card and card.get("notes", {}).get("history"):
            return path.parent, list(card["notes"]["history"])
    return None


def events_in(folder: Path) -> list[Event]:
    """The journal's facts."""
    return [event for event, _ in read_events(folder) if event] if (folder / FILE).is_file() else []


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None where there is none, or where it is being written or was cut off."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return tree if isinstance(tree, dict) else None


def modified(path: Path) -> float:
    """When it was written, in seconds since 1970; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
