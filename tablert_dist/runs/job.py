"""One training as it is sent to any worker, and its result as it is read again; without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tablert_dist.config import Config
from tablert_dist.runs.flag import StopFlag
from tablert_dist.runs.folder import RunFolder, Tracked
from tablert_dist.storage.mirror import RESULT

UNNAMED = Tracked("training")


@dataclass(frozen=True)
class Job:
    """One training of one seed, complete: it can be sent to any worker."""

    config: Config
    folder: RunFolder
    seed: int
    init_from: Path | None = None
    score_test: bool = True
    tracked: Tracked = UNNAMED
    stop_in: RunFolder | None = None
    """Where workers look whether they are to end (flag.py): the run's folder; None: in the job's own."""

    @property
    def flag(self) -> StopFlag:
        """The file that asks its workers to end."""
        return StopFlag(self.stop_in or self.folder)


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result of a finished training, its checkpoint where the folder is now, or None."""
    path = folder / RESULT
    if not path.is_file():
        return None
    result = dict(json.loads(path.read_text(encoding="utf-8")))
    return {**result, "checkpoint": str(folder / Path(result["checkpoint"]).name)}
