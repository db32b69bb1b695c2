"""A folder of a run, or of one of its parts, and everything that goes with it: its copy at a URL, and its journal."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tablert_dist.storage.atomic import write_json
from tablert_dist.storage.mirror import JOURNAL, Mirror, NoMirror
from tablert_dist.storage.remote import Remote
from tablert_dist.tracking import NullTracker, Tracker, begin_run

FEATURES = "features"
"""In a run's folder: word vectors of a frozen encoder, for its trials or seeds; gone when the run has finished."""


@dataclass(frozen=True)
class Tracking:
    """The MLflow server, or database, and the experiment that runs are in."""

    uri: str
    experiment: str


@dataclass(frozen=True)
class Tracked:
    """One training, or search, as MLflow shows it. `parent` is the uid of the run that it is a part of."""

    name: str
    parent: str | None = None
    sends: bool = True
    """Whether the process that writes the journal sends it too, for which it has to import MLflow."""


@dataclass(frozen=True)
class RunFolder:
    """A folder on this machine; it can be sent to any worker.

    Where `train.storage` is a URL, nodes share no folder: `mirror` copies to and from there. Elsewhere it does nothing, so
    that nobody has to ask.
    """

    path: Path
    remote: Remote | None = None
    tracking: Tracking | None = None

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.name

    @property
    def shared(self) -> bool:
        """Whether every node sees the folder itself."""
        return self.remote is None

    @property
    def mirror(self) -> Mirror | NoMirror:
        """What keeps the copy at the URL like the folder."""
        return NoMirror(self.path) if self.remote is None else Mirror(self.path, self.remote)

    @property
    def journal_mirror(self) -> Mirror | NoMirror:
        """`mirror` for what is copied because of the journal: nothing where tracking is off."""
        return NoMirror(self.path) if self.tracking is None else self.mirror

    def __str__(self) -> str:
        """What a person is told: the URL, where there is one."""
        return str(self.remote or self.path)

    def child(self, name: str) -> RunFolder:
        """Return the folder of that name (`seed-1`, `stage-1/trial-03`) inside this one."""
        return replace(self, path=self.path / name, remote=self.remote / name if self.remote else None)

    def write(self, name: str, tree: Mapping[str, Any]) -> None:
        """Write a JSON file whole or not at all, then publish it."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / name, tree)
        self.mirror.push_files([name])

    def publish(self, files: Iterable[Path]) -> None:
        """Copy files of this folder to the URL, in this order."""
        self.mirror.push_files(file.relative_to(self.path).as_posix() for file in files)

    def tracker(
        self, tracked: Tracked, params: Mapping[str, Any] | None = None, tags: Mapping[str, Any] | None = None
    ) -> Tracker:
        """Begin the journal in this folder, or go on with it; a tracker that does nothing where tracking is off."""
        if self.tracking is None:
            return NullTracker()
        return begin_run(
            self.path,
            uri=self.tracking.uri,
            experiment=self.tracking.experiment,
            name=tracked.name,
            parent=tracked.parent,
            sends=tracked.sends,
            params=params,
            tags=tags,
            publish=None if self.shared else partial(self.mirror.push_files, JOURNAL),
        )

    def of_rank(self, rank: int, cache: Path) -> RunFolder:
        """Return where the worker of that rank writes: here, or where nodes share no folder, in one of its own in `cache`."""
        return self if self.shared else replace(self, path=cache / self.path.parent.name / f"{self.name}.rank-{rank}")

    def drop_copy(self) -> None:
        """Remove a folder that has its copy at the URL."""
        if not self.shared:
            shutil.rmtree(self.path, ignore_errors=True)

    def ray_storage(self) -> dict[str, Any]:
        """Return where Ray keeps its own files of a run, as arguments of Train's and Tune's RunConfig."""
        if self.remote is None:
            return {"storage_path": str(self.path)}
        system, path = self.remote.place
        return {"storage_path": path, "storage_filesystem": system}

    def drop_features(self) -> None:
        """Remove what frozen encoders' features take once nothing goes on from them."""
        shutil.rmtree(self.path / FEATURES, ignore_errors=True)
