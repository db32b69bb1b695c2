"""Bundles as one file, and on the Hugging Face hub."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from tablert_dist.errors import InputError
from tablert_dist.inference.bundle import MANIFEST, open_bundle
from tablert_dist.storage.atomic import whole_file
from tablert_dist.waiting import waiting


def pack(folder: Path, out: Path) -> Path:
    """A bundle as one .zip, written whole. Raises InputError where the folder is no sound bundle or `out` exists."""
    open_bundle(folder)
    if out.exists():
        raise InputError(f"{out} exists; give a file that does not")
    with whole_file(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(folder))
    return out


def unpack(archive: Path, out: Path) -> Path:
    """The bundle of a .zip in the folder `out`. Nothing is written outside it, and nothing that is no plain file."""
    try:
        with zipfile.ZipFile(archive) as found:
            for item in found.infolist():
                name = PurePosixPath(item.filename)
                # The upper bits are the Unix mode: a link would be followed when it is read.
                if name.is_absolute() or ".." in name.parts or (item.external_attr >> 28) == 0xA:
                    raise InputError(f"{archive}: it holds {item.filename}, which lies outside the bundle")
            if MANIFEST not in found.namelist():
                raise InputError(f"{archive}: no bundle: {MANIFEST} is missing")
            found.extractall(out)
    except zipfile.BadZipFile as error:
        raise InputError(f"{archive}: not a zip file: {error}") from None
    return out


def download(repo_id: str, revision: str | None = None, instead: str = "give a bundle's folder or a hub id") -> Path:
    """A bundle from the hub, in its cache; its hashes are checked on loading.

    Raises InputError, which ends with `instead`, where it cannot be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        with waiting(f"downloading {repo_id}"):
            return Path(snapshot_download(repo_id, revision=revision))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"'{repo_id}' is no folder here and cannot be had from the hub: {reason.rstrip('.')} ({instead})"
        ) from None


def push_to_hub(folder: Path, repo_id: str, private: bool = True) -> str:
    """Upload a sound bundle to the hub, made private if it is new; its address. The token is the hub's own."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    open_bundle(folder)
    api = HfApi()
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder))
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"'{repo_id}' cannot be written on the hub: {reason}") from None
