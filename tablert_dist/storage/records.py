"""JSON records that were written by somebody else: read with their types and ranges checked, and sealed by a hash of their own.

A seal tells damage and mix-ups from what was written. It is no signature: whoever alters a record can seal it again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from tablert_dist.errors import InputError
from tablert_dist.storage.atomic import sha256

SEAL = "seal"
"""The key of a record that holds the sha256 of the rest of it."""
LARGEST = 64_000_000
"""Bytes of the largest record that is read: a manifest has kilobytes, a tokenizer with 250 000 subwords 17 MB."""


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or path.as_posix() != name:
        raise ValueError("it names a file outside its folder")
    return name


FileName = Annotated[str, AfterValidator(_inside)]
"""A file below a record's folder, with `/` between its parts."""
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """A record as it may stand in a file: typed without conversions. Keys of later versions are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, protected_namespaces=())


M = TypeVar("M", bound=BaseModel)


def read_object(path: Path, what: str) -> dict[str, Any]:
    """Return the JSON object in a file. Raises InputError, beginning with `what`, where there is none."""
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(
                f"{what}: {path.name} has {path.stat().st_size} bytes, more than the {LARGEST} of any record"
            )
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{what}: {path.name} is missing") from None
    except OSError as error:
        raise InputError(f"{what}: {path.name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{what}: {path.name} is damaged ({type(error).__name__}: {_short(error)})") from None
    if not isinstance(tree, dict):
        raise InputError(f"{what}: {path.name} is damaged (a JSON object is expected, not {type(tree).__name__})")
    return tree


def parsed(model: type[M], tree: Any, what: str, strict: bool | None = None) -> M:
    """Return the tree as the model. Raises InputError, beginning with `what`, for the first thing that does not fit."""
    try:
        return model.model_validate(tree, strict=strict)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "it"
        value = "" if first["type"] == "missing" else f" = {_short(repr(first['input']))}"
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{what} is damaged ({key}{value}: {message})") from None


def sealed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tree with its seal as the last key."""
    return {**tree, SEAL: _digest(tree)}


def seal_is_broken(tree: Mapping[str, Any]) -> bool:
    """Return whether the tree has a seal that is not its own; a record of an earlier version has none."""
    return SEAL in tree and tree[SEAL] != _digest(tree)


def altered(folder: Path, files: Mapping[str, str], may_lack: tuple[str, ...] = ()) -> str | None:
    """Return which of the files is missing or has another sha256 than the one given here, or None.

    Links are followed: the hub's cache holds nothing else, and the hash is of what is read.
    """
    for name, digest in files.items():
        path = folder / name
        if not path.is_file():
            if name not in may_lack:
                return f"{name} is missing"
        elif sha256(path) != digest:
            return f"{name} was altered ({path.stat().st_size} bytes): its sha256 is not the one on record"
    return None


def _digest(tree: Mapping[str, Any]) -> str:
    # As it is read back: tuples are lists then, and keys are strings.
    plain = json.loads(json.dumps({key: value for key, value in tree.items() if key != SEAL}))
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _short(value: object, most: int = 80) -> str:
    text = re.sub(r"\s+", " ", str(value))
    return text if len(text) <= most else f"{text[:most]} …"
