"""One training as it is sent to any worker, and its result as it is read again; without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tablert_dist.config import Config
from tablert_dist.storage.remote import Remote


@dataclass(frozen=True)
class Job:
    """One training of one seed, complete: it can be sent to any worker."""

    config: Config
    folder: Path
    seed: int
    init_from: Path | None = None
    score_test: bool = True
    remote: Remote | None = None
    """The copy of `folder` at a URL, where nodes share no folder."""


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result of a finished training, its checkpoint where the folder is now, or None."""
    path = folder / "result.json"
    if not path.is_file():
        return None
    result = dict(json.loads(path.read_text(encoding="utf-8")))
    return {**result, "checkpoint": str(folder / Path(result["checkpoint"]).name)}
