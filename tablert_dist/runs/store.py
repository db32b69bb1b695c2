"""Where runs live: names, folders, the record of a run, and which of its checkpoints is which."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tablert_dist.config import Config, flatten, with_overrides
from tablert_dist.errors import InputError
from tablert_dist.runs.files import RECORD, local_root
from tablert_dist.storage.atomic import write_json
from tablert_dist.storage.remote import Remote, is_url

log = logging.getLogger(__name__)

FEATURES = "features"
"""In a run's folder: word vectors of a frozen encoder, for its trials or seeds; gone when the run has finished."""
FREE_ON_RESUME = ("train.storage", "cluster.", "tracking.", "predict.", "export.", "serve.")
"""Keys that may differ when a run goes on: they do not change what is computed."""


def storage_root(config: Config) -> Path:
    """`train.storage` made absolute; unset: `./runs`, or `~/tablert_runs` inside a Ray job, whose folder is a copy.

    Where it is a URL, the folder on this machine for what is copied from there.
    """
    storage = config.train.storage
    if storage and is_url(storage):
        return cache_root() / hashlib.sha256(storage.encode()).hexdigest()[:12]
    return local_root(storage)


def cache_root() -> Path:
    """`TABLERT_CACHE`, or `~/.cache/tablert_dist`: copies that can be made again."""
    return Path(os.environ.get("TABLERT_CACHE") or "~/.cache/tablert_dist").expanduser().resolve()


def remote_root(config: Config) -> Remote | None:
    """The URL that runs are copied to, or None where `train.storage` is a folder."""
    storage = config.train.storage
    return Remote(storage) if storage and is_url(storage) else None


def with_storage(config: Config) -> Config:
    """The configuration with `train.storage` absolute: a worker's current folder is another."""
    if remote_root(config):
        return config
    return with_overrides(config, {"train.storage": str(storage_root(config))})


def drop_features(folder: Path) -> None:
    """Remove what frozen encoders' features take once nothing goes on from them."""
    shutil.rmtree(folder / FEATURES, ignore_errors=True)


def new_name(prefix: str) -> str:
    """`prefix-20261123-0609…`: unique to the second and process."""
    return f"{prefix}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid() % 1000:03d}"


def open_run(config: Config, name: str, resume: bool, kind: str) -> tuple[Path, dict[str, Any]]:
    """The run's folder and record, made or, with `resume`, found again.

    Raises InputError for a name that exists without `resume`, one that does not with it, or a changed configuration.
    """
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise InputError(f"run name '{name}': use letters, digits, '.', '_' and '-'")
    folder = storage_root(config) / name
    record = folder / RECORD
    remote = remote_root(config)
    known = _fetch_record(remote, folder, name) if remote else record.is_file()
    where = remote or folder.parent
    if not resume:
        if known or (folder.exists() and not remote):
            raise InputError(f"run '{name}' exists in {where}; go on with it by --resume {name}, or choose another")
        if remote:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        tree = {"name": name, "kind": kind, "config": config.model_dump(mode="json"), "status": "running"}
        write_record(config, folder, tree)
        return folder, tree
    if not known:
        raise InputError(f"--resume {name}: there is no such run in {where}")
    tree = json.loads(record.read_text(encoding="utf-8"))
    if tree["kind"] != kind:
        raise InputError(f"--resume {name}: that run is a {tree['kind']} run, not a {kind} run")
    old, new = flatten(Config.model_validate(tree["config"], strict=False)), flatten(config)
    changed = [k for k in new if old.get(k) != new[k] and not k.startswith(FREE_ON_RESUME)]
    if changed:
        told = ", ".join(f"{k} was {old.get(k)!r}, now {new[k]!r}" for k in changed)
        raise InputError(f"--resume {name}: the configuration differs ({told}); give the same, or a new name")
    return folder, tree


def find_run(config: Config, name: str) -> dict[str, Any]:
    """The record of a run by its name. Raises InputError with the names there are."""
    root, remote = storage_root(config), remote_root(config)
    record = root / name / RECORD
    if not (_fetch_record(remote, record.parent, name) if remote else record.is_file()):
        known = _remote_names(remote) if remote else sorted(p.parent.name for p in root.glob(f"*/{RECORD}"))
        raise InputError(f"there is no run '{name}' in {remote or root}; there are: {', '.join(known) or 'none'}")
    return dict(json.loads(record.read_text(encoding="utf-8")))


def _remote_names(remote: Remote) -> list[str]:
    return sorted(f.split("/")[0] for f in remote.files() if f.count("/") == 1 and f.endswith(f"/{RECORD}"))


def _fetch_record(remote: Remote, folder: Path, name: str) -> bool:
    """Copy the record of a run here; whether there is one."""
    try:
        (remote / name).get(RECORD, folder / RECORD)
    except FileNotFoundError:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    except OSError as error:
        raise InputError(f"train.storage = {remote}: {str(error).strip().splitlines()[0]}") from None
    return True


def write_record(config: Config, folder: Path, tree: Mapping[str, Any]) -> None:
    """Write the run's record, to its URL too."""
    write_json(folder / RECORD, tree)
    remote = remote_root(config)
    if remote:
        (remote / folder.name).put(folder / RECORD, RECORD)
