"""The data that a run was begun with, on its record: a run that went on with other data would mix the two."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tablert_dist.data import Corpus
from tablert_dist.errors import InputError

Files = dict[str, dict[str, str]]
"""By split its file's name and sha256."""


def files_of(corpus: Corpus, prefix: str = "") -> Files:
    """As the record has them."""
    return {
        f"{prefix}{split}": {"file": corpus.files.get(split, split), "sha256": digest}
        for split, digest in corpus.hashes.items()
    }


def with_data(record: Mapping[str, Any], name: str, data: Files, accepted: bool) -> dict[str, Any]:
    """Return what changes in the record of the run `name` that goes on with `data`.

    Raises InputError, with file and hashes, where they are others and that was not accepted; a record of an older version
    names none, and gets these.
    """
    before: Files = record.get("data_files") or data
    told = [line for split in sorted({*before, *data}) if (line := _difference(split, before, data))]
    if not told:
        return {"data_files": data}
    if not accepted:
        raise InputError(
            f"--resume {name}: the data have changed: {'; '.join(told)}; give those of before, choose a new name, or go on "
            f"with --accept-changed-data"
        )
    notes = [*record.get("accepted", ()), {"at": time.strftime("%Y-%m-%d %H:%M:%S"), "changed": told}]
    return {"data_files": data, "accepted": notes}


def _difference(split: str, before: Files, now: Files) -> str | None:
    if split not in before:
        return f"{now[split]['file']} is new"
    if split not in now:
        return f"{before[split]['file']} is gone"
    old, new = before[split]["sha256"], now[split]["sha256"]
    return None if old == new else f"{now[split]['file']} had the sha256 {old[:8]} and has {new[:8]} now"
