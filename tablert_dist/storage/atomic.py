"""Files and folders that are there whole or not at all, and their hashes.

What is written goes under another name beside its place (`.NAME.part`) and is renamed when it is complete: a kill or a full
disk leaves the old one, or none. What cannot be written is one sentence.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from tablert_dist.errors import InputError, RunError

_TORCH_SAYS = ("iostream error", "inline_container")
"""torch.save does not tell why it could not write."""
_NOTHING = 2**20
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FORBIDDEN = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR})
"""What is wrong with a place that the user named."""


@contextmanager
def writing(path: Path, advice: str = "make room and do it again") -> Iterator[None]:
    """Raise RunError where the disk gets full inside the block, InputError where `path` cannot be written otherwise."""
    try:
        yield
    except Exception as error:
        free = shutil.disk_usage(nearest_folder(path)).free
        if is_full(error) or (free < _NOTHING and any(text in str(error) for text in _TORCH_SAYS)):
            raise RunError(
                f"{path}: cannot be written: the disk is full ({free / 1e6:.0f} MB free); {advice}"
            ) from error
        if (number := _errno(error)) is not None:
            raise InputError(f"{path}: cannot be written: {os.strerror(number)}") from None
        raise


def is_full(error: Exception) -> bool:
    """Return whether a disk was full."""
    # By its name: sqlite3 is not imported for it in every command.
    in_sqlite = getattr(error, "sqlite_errorname", None) == "SQLITE_FULL"
    return in_sqlite or _errno(error) in FULL or "No space left" in str(error)


def _errno(error: Exception) -> int | None:
    """The system's number; safetensors and tokenizers wrap it in an error of their own."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"os error (\d+)", str(error))
    return int(found[1]) if found else None


@contextmanager
def whole_file(path: Path, force: bool = False) -> Iterator[Path]:
    """Yield where to write the file; at the end of the block it is at `path`, after an error nothing is new.

    `force`: on the disk before the block ends, so that a power cut does not undo it.
    """
    # Processes that write the same file, such as the trials of a search, must not write over each other's part.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with writing(path):
            yield part
            if force:
                sync(part)
            part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def whole_files(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """As `whole_file`, for several: none is new unless all are."""
    with ExitStack() as stack:
        yield [stack.enter_context(whole_file(path)) for path in paths]


@contextmanager
def whole_folder(path: Path, advice: str = "make room and do it again") -> Iterator[Path]:
    """Yield a new folder to write into; at the end of the block it is at `path`, in the place of an older one.

    After an error nothing is new. Everything is on the disk before it is renamed.
    """
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with writing(path, advice):
            part.mkdir(parents=True)
            yield part
            for file in part.rglob("*"):
                if file.is_file():
                    sync(file)
            if path.exists():
                shutil.rmtree(path)
            part.rename(path)
            sync(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, its lines ended as they are in `text`."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file."""
    with whole_file(path) as part:
        part.write_bytes(data)


def write_json(path: Path, tree: Any) -> None:
    """Write a tree as JSON, indented."""
    write_text(path, json.dumps(tree, indent=1, ensure_ascii=False))


def sha256(path: Path) -> str:
    """Return the hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Force a file or folder to disk: a rename must not survive a power cut that its contents do not."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def nearest_folder(path: Path) -> Path:
    """Return the path, or the nearest folder above it, that is a folder: whose disk it would be on."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())
