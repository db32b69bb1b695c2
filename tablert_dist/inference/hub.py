"""Bundles on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from tablert_dist.errors import InputError, first_line
from tablert_dist.inference.bundle import open_bundle
from tablert_dist.waiting import waiting


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
        raise InputError(
            f"'{repo_id}' is no folder here and cannot be had from the hub: {first_line(error).rstrip('.')} ({instead})"
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
