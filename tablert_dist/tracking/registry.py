"""The model registry: a version points at the artifact folder of the run that made it."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tablert_dist.errors import InputError
from tablert_dist.storage.secrets import redact
from tablert_dist.tracking import store

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

_MISSING = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")


def register(
    uri: str,
    registered_model: str,
    run_uid: str,
    artifact_folder: str,
    alias: str | None = None,
    tags: Mapping[str, Any] | None = None,
    description: str = "",
    timeout: float = 60.0,
) -> int:
    """Make a version of the registered model (made if missing) from a run's artifact folder, and set its alias.

    Returns the version; the one there is, where this run's folder has been registered before. An MLflow that cannot
    be reached is tried again for `timeout` seconds. Raises InputError where that fails or the run is not there.
    """

    def work(client: MlflowClient) -> int:
        run = store.find_run(client, run_uid)
        if run is None:
            raise InputError(f"MLflow at {redact(uri)} has no run {run_uid}; send it with: tablert sync")
        _make_model(client, registered_model)
        source = f"{run.info.artifact_uri}/{artifact_folder}".rstrip("/")
        version = _version(client, registered_model, source, run.info.run_id)
        client.update_model_version(registered_model, version, description)
        for key, value in (tags or {}).items():
            client.set_model_version_tag(registered_model, version, key, str(value))
        if alias:
            client.set_registered_model_alias(registered_model, alias, version)
        return int(version)

    return _until_there(uri, work, timeout)


def promote(
    uri: str, registered_model: str, version: int, alias: str, metric: str, same: Sequence[str], timeout: float = 60.0
) -> str | None:
    """Point the alias at this version where it is better than the one that has it: by the tag `metric`, among versions
    whose tags `same` are equal.

    Returns None where it has the alias now, otherwise the reason why not. Raises InputError as `register`.
    """

    def work(client: MlflowClient) -> str | None:
        from mlflow.exceptions import MlflowException

        new = client.get_model_version(registered_model, str(version))
        try:
            old = client.get_model_version_by_alias(registered_model, alias)
        except MlflowException as error:
            if store.code(error) not in _MISSING:
                raise
            old = None
        if old is not None and str(old.version) != str(version):
            stays = f"@{alias} stays at version {old.version}"
            different = [key for key in same if old.tags.get(key) != new.tags.get(key)]
            if different:
                was = ", ".join(f"{key} {old.tags.get(key, 'not recorded')}" for key in different)
                return (
                    f"{stays}, which was scored otherwise ({was}), so that the two cannot be compared; move it in MLflow "
                    f"(Models, {registered_model}, version {version}), or register under a name of its own with --set "
                    f"tracking.registered_model=NAME"
                )
            before, now = float(old.tags.get(metric, "nan")), float(new.tags.get(metric, "nan"))
            if not now > before:
                return f"{stays}, whose {metric} is {before:.4f}; this one's is {now:.4f}"
        client.set_registered_model_alias(registered_model, alias, str(version))
        return None

    return _until_there(uri, work, timeout)


def version_of(uri: str, model_uri: str, timeout: float = 10.0) -> int:
    """The version behind `models:/NAME@ALIAS` or `models:/NAME/VERSION`. Raises InputError as `download`."""
    name, alias, number = _parts_of(model_uri)
    if alias is None:
        return int(str(number))

    def work(client: MlflowClient) -> int:
        from mlflow.exceptions import MlflowException

        try:
            return int(client.get_model_version_by_alias(name, alias).version)
        except MlflowException as error:
            if store.code(error) in _MISSING:
                raise InputError(f"MLflow at {redact(uri)} has no {model_uri}: {store.reason(error)}") from error
            raise

    return _until_there(uri, work, timeout)


def _parts_of(model_uri: str) -> tuple[str, str | None, str | None]:
    """Name, alias, version."""
    match = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", model_uri)
    if match is None:
        raise InputError(f"'{model_uri}' names no model: write models:/NAME@ALIAS or models:/NAME/VERSION")
    return match[1], match[2], match[3]


def download(uri: str, model_uri: str, out: Path, timeout: float = 60.0) -> Path:
    """Copy the artifact folder behind `models:/NAME@ALIAS` or `models:/NAME/VERSION` into `out`; returns `out`.

    An MLflow that cannot be reached is tried again for `timeout` seconds. Raises InputError where that fails or there
    is no such model, alias or version, OSError where `out` cannot be written.
    """
    name, alias, number = _parts_of(model_uri)

    def work(client: MlflowClient) -> Path:
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        try:
            version = client.get_model_version_by_alias(name, alias).version if alias else number
            source = client.get_model_version_download_uri(name, version)
        except MlflowException as error:
            if store.code(error) in _MISSING:
                raise InputError(f"MLflow at {redact(uri)} has no {model_uri}: {store.reason(error)}") from error
            raise
        out.parent.mkdir(parents=True, exist_ok=True)
        # Beside `out` first: a download that breaks off leaves no half of a model there.
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as part:
            got = download_artifacts(artifact_uri=source, dst_path=part, tracking_uri=uri)
            shutil.copytree(got, out, dirs_exist_ok=True, copy_function=shutil.move)
        return out

    return _until_there(uri, work, timeout)


def _make_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if store.code(error) != "RESOURCE_ALREADY_EXISTS":
            raise


def _version(client: MlflowClient, name: str, source: str, run_id: str) -> str:
    for known in client.search_model_versions(f"run_id='{run_id}'"):
        if known.name == name and known.source == source:
            return str(known.version)
    return str(client.create_model_version(name, source, run_id).version)


def _until_there(uri: str, work: Callable[[MlflowClient], T], timeout: float) -> T:
    """The result of `work`, tried again for `timeout` seconds while MLflow cannot be reached."""
    deadline = time.monotonic() + timeout
    delay = 0.5
    client: MlflowClient | None = None
    while True:
        try:
            client = client or store.connect(uri)
            return work(client)
        except Exception as error:
            if not store.code(error) or isinstance(error, InputError):
                raise
            left = deadline - time.monotonic()
            if store.is_permanent(error) or store.code(error) == "RESOURCE_DOES_NOT_EXIST" or left <= 0:
                raise InputError(f"MLflow at {redact(uri)} cannot be used: {store.reason(error)}") from error
            time.sleep(min(delay, left))
            delay = min(2 * delay, 10.0)
