"""One way to name a model: a path, a run, a registered model or a hub id, found as a folder or a .zip on this machine."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from pathlib import Path

from tablert_dist.config import Config, with_overrides
from tablert_dist.errors import InputError, nearest
from tablert_dist.inference.bundle import MANIFEST, read_manifest
from tablert_dist.inference.loading import not_a_model
from tablert_dist.runs.files import RECORD
from tablert_dist.runs.folder import RunFolder
from tablert_dist.runs.location import runs_folder, tracking_uri
from tablert_dist.runs.result import checkpoint_of
from tablert_dist.storage.atomic import sha256
from tablert_dist.storage.checkpoint_folder import META
from tablert_dist.storage.records import read_object
from tablert_dist.waiting import waiting

REGISTERED = "models:/"
KINDS = {
    True: "a bundle, a .zip, a checkpoint, a run's name or folder, models:/NAME@ALIAS, or a hub id OWNER/NAME",
    False: "a checkpoint, a run's name or folder, or models:/NAME@ALIAS",
}
"""What names a model, by whether a bundle will do."""
_HUB = re.compile(r"[\w.-]+/[\w.-]+")


def find_model(name: str, config: Config) -> Path:
    """Return the bundle (a folder or a .zip) or checkpoint that `name` names; of a run or a registered model its bundle.

    A path that exists comes before a run under `train.storage`, a run before a hub id. What is downloaded lasts as long
    as this process, or lies in the hub's cache. Raises InputError for what is none of these, saying where was looked.
    """
    return _find(name, config, bundle=True)


def find_checkpoint(name: str, config: Config, instead: str) -> Path:
    """Return the checkpoint that `name` names; of a run or a registered model its best one.

    Raises InputError as `find_model`, and for a bundle, of which `instead` says why it cannot be used and what can.
    """
    found = _find(name, config, bundle=False)
    if not (found / META).is_file():
        raise InputError(f"{name} is an exported bundle: {instead}")
    return found


def find_bundle(name: str, config: Config) -> Path:
    """Return the folder of the bundle that `name` names; a .zip is unpacked into a folder that goes with this process.

    Raises InputError as `find_model`, and for a checkpoint, with the command that exports it.
    """
    found = find_model(name, config)
    if found.is_file():
        from tablert_dist.inference.archive import unpack

        return unpack(found, _scratch() / "bundle")
    if (found / META).is_file():
        raise InputError(
            f"{name} is no bundle but a checkpoint: export it first with tablert-export --onnx --model {name} --out bundle"
        )
    return found


def identity(name: str, found: Path) -> str:
    """Return what says that a model is still the same: its path, or of a registered one its name and its files' hash."""
    return f"{name} {sha256(found / MANIFEST)}" if name.startswith(REGISTERED) else str(found.resolve())


def run_names(config: Config) -> list[str]:
    """Return the names of the runs under `train.storage`."""
    return runs_folder(config, tracked=False).mirror.folders_with(RECORD)


def _find(name: str, config: Config, bundle: bool) -> Path:
    path = Path(name).expanduser()
    if path.exists():
        if (path / RECORD).is_file():
            inside = with_overrides(config, {"train.storage": str(path.resolve().parent)})
            return _of_run(inside, path.resolve().name, bundle)
        if (path / MANIFEST).is_file() or (path / META).is_file() or (path.is_file() and path.suffix == ".zip"):
            return path
        raise not_a_model(path)
    if name.startswith(REGISTERED):
        return _of_registry(name, config, bundle)
    runs = run_names(config)
    if name in runs:
        return _of_run(config, name, bundle)
    root = runs_folder(config, tracked=False)
    where = f"no run of that name in {root}{nearest(path.name, runs)}"
    # `runs/nope` is a mistyped path, not the hub's NOPE of an owner RUNS.
    a_path = path.parent.exists() or path.absolute().parent == root.path or name.startswith(".")
    if bundle and _HUB.fullmatch(name) and not a_path:
        from tablert_dist.inference.hub import download

        return download(name, instead=f"and there is {where}")
    raise InputError(f"there is no model '{name}': no such file or folder, and {where}; give {KINDS[bundle]}")


def _of_run(config: Config, name: str, bundle: bool) -> Path:
    """A run's bundle where there is one and it is wanted, else its best checkpoint."""
    if bundle and (found := _bundle_in(runs_folder(config, tracked=False).child(name))):
        return found
    return checkpoint_of(config, name)


def _bundle_in(run: RunFolder) -> Path | None:
    """The bundle that a search left, copied here where runs are kept at a URL."""
    folder = run.child("bundle")
    if not folder.mirror.fetch(MANIFEST):
        return None
    what = f"bundle {folder}"
    folder.mirror.pull_files(read_manifest(read_object(folder.path / MANIFEST, what), what).files)
    return folder.path


def _of_registry(name: str, config: Config, bundle: bool) -> Path:
    from tablert_dist.tracking import download

    with waiting(f"fetching {name} from MLflow"):
        place = download(tracking_uri(config), name, _scratch() / "model")
    if not bundle:
        if not (place / "checkpoint" / META).is_file():
            raise InputError(f"{name} holds no checkpoint; register a model with tablert tune")
        return place / "checkpoint"
    found = sorted(path.parent for path in place.glob(f"artifacts/*/{MANIFEST}"))
    if len(found) != 1:
        raise InputError(f"{name} holds no bundle; register a model with tablert tune")
    return found[0]


def _scratch() -> Path:
    """A folder that lasts as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="tablert-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
