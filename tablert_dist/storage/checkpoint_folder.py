"""A checkpoint's folder without torch: its files, its record, and whether they are what was saved."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from tablert_dist.errors import InputError
from tablert_dist.storage.records import (
    SEAL,
    Digest,
    FileName,
    Record,
    altered,
    parsed,
    read_object,
    seal_is_broken,
)

log = logging.getLogger(__name__)

META, WEIGHTS, TRAINER = "checkpoint.json", "model.safetensors", "trainer.pt"
ENCODER, TOKENIZER = "encoder/config.json", "tokenizer.json"
LONGEST = 1_000_000
"""Subwords of the longest window that is believed: no encoder's positions come near, and arrays have this length."""


class CheckpointRecord(Record):
    """What `checkpoint.json` holds."""

    format: Literal[1] = 1
    config: dict[str, Any]
    types: dict[str, Any] = Field(alias="schema")
    subword_limit: Annotated[int, Field(ge=3, le=LONGEST)]
    pad_id: Annotated[int, Field(ge=0)]
    notes: dict[str, Any]
    calibration: dict[str, Any] | None = None
    """None of a checkpoint that no temperatures were fitted for."""
    constraints: dict[str, Any] | None = None
    """None of a checkpoint of an earlier version."""
    files: dict[FileName, Digest] = Field(default={})


def read_record(folder: Path) -> CheckpointRecord:
    """Return the record, its types and ranges checked and its seal whole. Raises InputError."""
    what = f"checkpoint {folder}"
    tree = read_object(folder / META, what)
    record = parsed(CheckpointRecord, tree, f"{what}: {META}")
    if seal_is_broken(tree):
        raise InputError(
            f"{what}: {META} was altered: its seal is not that of its content (types, configuration, limits)"
        )
    return record


def damage(folder: Path) -> str | None:
    """What is wrong with the folder's record or files, or None: all is what was written when it was saved.

    A missing trainer's state is no damage: it is removed when it is no longer needed.
    """
    try:
        record = read_record(folder)
    except InputError as error:
        return str(error).removeprefix(f"checkpoint {folder}: ")
    return altered(folder, record.files, (TRAINER,))


def checked_record(folder: Path) -> CheckpointRecord:
    """Return the record after every file was compared with it. Raises InputError for one that is missing or altered.

    A checkpoint of a version that kept no hashes is read all the same, and the log says what could not be checked.
    """
    record = read_record(folder)
    what = f"checkpoint {folder}"
    if not record.files:
        _say_once(f"{what} keeps no hashes (an early version wrote it): its files could not be checked")
    elif unlisted := [name for name in (WEIGHTS, TOKENIZER, ENCODER) if name not in record.files]:
        raise InputError(f"{what}: {META} has no hash of {', '.join(unlisted)}")
    elif SEAL not in read_object(folder / META, what):
        _say_once(f"{what} has no seal (an earlier version wrote it): its types and configuration could not be checked")
    if wrong := altered(folder, record.files, (TRAINER,)):
        raise InputError(f"{what}: {wrong}; take it again from where it came, or train again")
    return record


@cache
def _say_once(line: str) -> None:
    log.warning(line)


def refuse_code(folder: Path) -> None:
    """Raise InputError where the encoder's configuration names code to run: a checkpoint is data."""
    what = f"checkpoint {folder}"
    tree = read_object(folder / ENCODER, what)
    if "auto_map" in tree:
        raise InputError(
            f"{what}: {ENCODER} wants to run code of its own (auto_map), which a checkpoint never may; train on an encoder "
            "that transformers has built in, or export the model in the same tablert tune --trust-remote-code"
        )
    for key in ("attn_implementation", "_attn_implementation"):
        if "/" in str(tree.get(key, "")):
            raise InputError(
                f"{what}: {ENCODER} wants to download code ({key} = {tree[key]!r}), which a checkpoint never may"
            )


EPOCH, PARTIAL = "epoch_", "partial_"
"""What the names of two kinds of checkpoint begin with: at an epoch's end, and in the middle of one."""


def checkpoint_name(epoch: int) -> str:
    """Folder of the checkpoint made after `epoch` (counted from 1)."""
    return f"{EPOCH}{epoch:03d}"


def partial_name(epoch: int) -> str:
    """Folder of the checkpoint made in the middle of `epoch` (counted from 1)."""
    return f"{PARTIAL}{epoch:03d}"


def is_checkpoint(path: str) -> bool:
    """Whether a path in a training's folder is a checkpoint, of either kind, or inside one."""
    return path.startswith((EPOCH, PARTIAL))


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first. One that was being written when its process died has another name."""
    return sorted(p.parent for p in folder.glob(f"{EPOCH}*/{META}"))


def partials(folder: Path) -> list[Path]:
    """Checkpoints in the middle of an epoch, oldest first: at most one, unless a process died while it removed an older."""
    return sorted(p.parent for p in folder.glob(f"{PARTIAL}*/{META}"))


def resumable(folder: Path, partial: bool = True) -> Path | None:
    """The newest undamaged checkpoint that holds the trainer's state, also (`partial`) in the middle of an epoch."""
    known = [(int(p.name.rpartition("_")[2]), p) for p in checkpoints(folder)]
    if partial:
        known += [(int(p.name.rpartition("_")[2]) - 1, p) for p in partials(folder)]
    # Of the same number of complete epochs the one in the middle of the next has come further.
    for _, found in sorted(known, key=lambda item: (item[0], item[1].name.startswith(PARTIAL)), reverse=True):
        if not (found / TRAINER).is_file():
            continue
        wrong = damage(found)
        if wrong is None:
            return found
        log.warning("%s is damaged and passed over: %s", found, wrong)
    return None
