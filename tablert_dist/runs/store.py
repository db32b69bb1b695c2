"""RunStore: the one owner of a run's folder, its copy at a URL, and its record."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tablert_dist.config import Config, flatten, recorded_config, without_logins
from tablert_dist.config.heads import RENAMED
from tablert_dist.errors import InputError, RunError, Stopped, nearest
from tablert_dist.runs.data import Files, with_data
from tablert_dist.runs.files import LEASE, RECORD
from tablert_dist.runs.folder import RunFolder
from tablert_dist.runs.location import runs_folder
from tablert_dist.storage.lease import Lease, LeaseFile

log = logging.getLogger(__name__)
FREE_ON_RESUME = ("train.storage", "cluster.", "tracking.", "predict.", "export.", "serve.")
"""Keys that may differ when a run goes on: they do not change what is computed."""


def new_name(prefix: str) -> str:
    """`prefix-20261123-0609…`: unique to the second and process."""
    return f"{prefix}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid() % 1000:03d}"


@dataclass
class RunStore:
    """A run that is being written, or that is read again.

    Made once, at the top of a training, a search or a study; parts get `folder.child("seed-1")`. A context manager that
    puts on record that the run was stopped, or failed.
    """

    folder: RunFolder
    record: dict[str, Any]
    """What `run.json` holds: name, kind, configuration, status, and what the kind adds."""
    lease: Lease | None = None
    """Of a run that is written; one that is only read has none."""

    def __getstate__(self) -> dict[str, Any]:
        """Without the lease: Ray Tune pickles whatever its searcher knows, and a copy in another process only reads."""
        return {**self.__dict__, "lease": None}

    @classmethod
    def open(
        cls, config: Config, name: str, resume: bool, kind: str, data: Files | None = None, accepted: bool = False
    ) -> RunStore:
        """Make a run, or with `resume` find it again, and hold it until `close`: no other process writes it meanwhile.

        `data`: what it is trained on; `accepted`: also if they are others than before. Raises InputError for a name that
        exists without `resume`, one that does not with it, a changed configuration, changed data, or a run that another
        process holds.
        """
        run = cls.check(config, name, resume, kind)
        if run is None:
            folder = runs_folder(config).child(name)
            folder.drop_copy()
            try:
                folder.path.mkdir(parents=True)
            except FileExistsError:
                raise InputError(f"run '{name}' in {folder} is being made by another process") from None
            run = cls(folder, {"name": name, "kind": kind, "config": config.model_dump(mode="json")})
        file = LeaseFile(run.path / LEASE, run.folder.remote)
        advice = "wait for its end, stop it with SIGTERM, or choose another name"
        run.lease = Lease.take(file, f"run '{name}' in {runs_folder(config)}", advice)
        try:
            run._begin(resume, data, accepted)
        except BaseException:
            run.close()
            raise
        return run

    def _begin(self, resume: bool, data: Files | None, accepted: bool) -> None:
        """Put on record that it runs."""
        if resume:
            # As it is now that nobody else writes it.
            self.folder.mirror.fetch(RECORD)
            self.record = _read_record(self.folder)
            name = self.name
            if any(f"model.{key}" in RENAMED for key in self.record["config"]["model"]):
                log.warning(
                    "--resume %s: its record has the heads' options in [model]; they are read as model.cnn.… now", name
                )
        changes = {} if data is None else with_data(self.record, self.name, data, accepted)
        self.update(**changes, status="running")

    def close(self) -> None:
        """Hold it no longer."""
        if self.lease is not None:
            self.lease.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.ended(error)
        self.close()

    def ended(self, error: BaseException) -> None:
        """Put on record that the run did not come to its end, and give a Stopped its record; hold it no longer."""
        asked = isinstance(error, Stopped | KeyboardInterrupt)
        # Where the disk is full, or the storage away, that is what is told, and not that it cannot be written.
        with suppress(InputError, RunError, OSError):
            self.update(status="stopped" if asked else "failed")
        if isinstance(error, Stopped):
            error.record = self.record
        self.close()

    @classmethod
    def check(cls, config: Config, name: str, resume: bool, kind: str) -> RunStore | None:
        """Return the run that would be resumed, None where it would be made, and write nothing; raises as `open`."""
        run = cls.named(config, name, resume, kind)
        if run is None:
            return None
        old, new = flatten(recorded_config(run.record["config"])), flatten(config)
        changed = [k for k in new if old.get(k) != new[k] and not k.startswith(FREE_ON_RESUME)]
        if changed:
            told = ", ".join(f"{k} was {old.get(k)!r}, now {new[k]!r}" for k in changed)
            raise InputError(f"--resume {name}: the configuration differs ({told}); give the same, or a new name")
        return run

    @classmethod
    def named(cls, config: Config, name: str, resume: bool, kind: str) -> RunStore | None:
        """As `check`, whatever the configuration of a run that would be resumed."""
        if not re.fullmatch(r"[\w][\w.-]*", name):
            raise InputError(f"run name '{name}': use letters, digits, '.', '_' and '-'")
        runs = runs_folder(config)
        folder = runs.child(name)
        known = _has_record(runs, folder)
        if not resume:
            if known or (folder.path.exists() and folder.shared):
                raise InputError(f"run '{name}' exists in {runs}; go on with it by --resume {name}, or choose another")
            return None
        if not known:
            raise InputError(f"--resume {name}: there is no such run in {runs}; {_others(runs, name)}")
        run = cls(folder, _read_record(folder))
        if run.kind != kind:
            raise InputError(f"--resume {name}: that run is a {run.kind} run, not a {kind} run")
        return run

    @classmethod
    def find(cls, config: Config, name: str) -> RunStore:
        """Return a run by its name, to be read. Raises InputError with the names there are."""
        runs = runs_folder(config, tracked=False)
        folder = runs.child(name)
        if not _has_record(runs, folder):
            raise InputError(f"there is no run '{name}' in {runs}; {_others(runs, name)}")
        return cls(folder, _read_record(folder))

    @property
    def name(self) -> str:
        """The run's name, its folder's too."""
        return self.folder.name

    @property
    def kind(self) -> str:
        """`train`, `tune` or `study`."""
        return str(self.record["kind"])

    @property
    def path(self) -> Path:
        """Its folder on this machine."""
        return self.folder.path

    def update(self, **changes: Any) -> None:
        """Change the record and write it, to its URL too."""
        self.record.update(changes)
        self.folder.write(RECORD, self.record)


def _others(runs: RunFolder, name: str) -> str:
    """The runs that there are, for the refusal of one that is not."""
    names = runs.mirror.folders_with(RECORD)
    return f"there are: {', '.join(names)}{nearest(name, names)}" if names else "there is none"


def _has_record(runs: RunFolder, folder: RunFolder) -> bool:
    """Whether there is such a run; its record, which may lie at a URL, is in the folder afterwards."""
    try:
        known = folder.mirror.fetch(RECORD)
    except OSError as error:
        raise InputError(f"train.storage = {runs}: {str(error).strip().splitlines()[0]}") from None
    if not known:
        folder.drop_copy()
    return known


def _read_record(folder: RunFolder) -> dict[str, Any]:
    record = dict(json.loads((folder.path / RECORD).read_text(encoding="utf-8")))
    # What an earlier version let through is gone with the next change of the record.
    return {**record, "config": without_logins(record["config"])} if "config" in record else record
