"""Where runs lie, and how they reach MLflow: read from the configuration here and nowhere else."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tablert_dist.config import Config, with_overrides
from tablert_dist.errors import InputError
from tablert_dist.runs.folder import RunFolder, Tracking
from tablert_dist.storage.remote import Remote, is_url
from tablert_dist.tracking import default_uri


def local_root(storage: str | None) -> Path:
    """Return a folder given as `train.storage`, made absolute; unset: `./runs`, or `~/tablert_runs` inside a Ray job,
    whose folder is a copy."""
    if storage:
        return Path(storage.removeprefix("file://")).expanduser().resolve()
    in_job = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    return Path("~/tablert_runs").expanduser() if in_job else Path("runs").resolve()


def storage_root(config: Config) -> Path:
    """Return `train.storage` as a folder of this machine: where it is a URL, the one for what is copied from there."""
    storage = config.train.storage
    if storage and is_url(storage):
        return cache_root() / hashlib.sha256(storage.encode()).hexdigest()[:12]
    return local_root(storage)


def cache_root() -> Path:
    """Return `TABLERT_CACHE`, or `~/.cache/tablert_dist`: copies that can be made again."""
    return Path(os.environ.get("TABLERT_CACHE") or "~/.cache/tablert_dist").expanduser().resolve()


def runs_folder(config: Config, tracked: bool = True) -> RunFolder:
    """Return the folder of all runs; those that are only read need not be `tracked`.

    Raises InputError where they are and MLflow's default store cannot lie there.
    """
    storage = config.train.storage
    remote = Remote(storage) if storage and is_url(storage) else None
    return RunFolder(storage_root(config), remote, _tracking(config, remote) if tracked else None)


def with_storage(config: Config) -> Config:
    """Return the configuration with a local `train.storage` absolute: a worker's current folder is another."""
    if config.train.storage and is_url(config.train.storage):
        return config
    return with_overrides(config, {"train.storage": str(storage_root(config))})


def tracking_uri(config: Config) -> str:
    """Return MLflow's address: `tracking.uri`, or a database beside the runs."""
    return config.tracking.uri or default_uri(storage_root(config))


def _tracking(config: Config, remote: Remote | None) -> Tracking | None:
    if not config.tracking.enabled:
        return None
    if remote and not config.tracking.uri:
        raise InputError(
            "train.storage is a URL, where no SQLite file can lie: give an MLflow server with --set "
            "tracking.uri=http://HOST:5000, or --set tracking.enabled=false"
        )
    return Tracking(tracking_uri(config), config.tracking.experiment)
