"""The ten official train/test splits of ADE from its one file, byte for byte; and folders of folds."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tablert_dist.data import formats
from tablert_dist.data.formats import types_file
from tablert_dist.data.formats.source import objects
from tablert_dist.errors import InputError
from tablert_dist.schema import Schema, Sentence


def rebuild(full: Path, ids: Path) -> dict[str, bytes]:
    """`ade_split_{f}_{train,test}.json` and their content, of the records in `full` by the fold lists in `ids`.

    `ids` has `test_folds`, a list of `orig_id` for each fold, and perhaps `sha256` by file name. Train f is the other
    folds in their order. Raises InputError where an id is unknown or twice, or a hash is another.
    """
    folds, hashes = _fold_ids(ids)
    by_id: dict[Any, dict[str, Any]] = {}
    for index, record in objects(full):
        key = record.get("orig_id")
        if key is None or isinstance(key, list | dict) or key in by_id:
            raise InputError(f"{full}: record {index}: its 'orig_id' {key!r} is missing or not the first of its kind")
        by_id[key] = record
    used = [key for fold in folds for key in fold]
    if unknown := [key for key in used if key not in by_id]:
        raise InputError(f"{ids}: orig_id {unknown[0]} is in no record of {full.name}")
    if len(set(used)) < len(used):
        raise InputError(f"{ids}: an orig_id is in two folds, or twice in one")
    if len(used) < len(by_id):
        raise InputError(f"{ids}: {len(by_id) - len(used)} records of {full.name} are in no fold")
    tests = [[by_id[key] for key in fold] for fold in folds]
    written = {}
    for f, test in enumerate(tests):
        train = [record for g, other in enumerate(tests) if g != f for record in other]
        for kind, records in (("train", train), ("test", test)):
            written[f"ade_split_{f}_{kind}.json"] = json.dumps(records).encode("utf-8")
    for name, expected in hashes.items():
        if name not in written or hashlib.sha256(written[name]).hexdigest() != expected:
            raise InputError(
                f"{ids}: {name} does not come out with the sha256 {expected}: is {full.name} the original?"
            )
    return written


def _fold_ids(path: Path) -> tuple[list[list[Any]], dict[str, str]]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    folds = tree.get("test_folds") if isinstance(tree, dict) else None
    hashes = tree.get("sha256", {}) if isinstance(tree, dict) else {}
    plain = isinstance(folds, list) and all(
        isinstance(fold, list) and all(isinstance(key, int | str) for key in fold) for fold in folds
    )
    if not plain or not isinstance(hashes, dict) or not isinstance(folds, list) or len(folds) < 2:
        raise InputError(f"{path}: expected an object with 'test_folds', two or more lists of orig_id")
    return folds, hashes


@dataclass(frozen=True)
class Fold:
    """One train/test split of a cross-validation, under the schema that all folds share."""

    number: int
    schema: Schema
    train: tuple[Sentence, ...]
    test: tuple[Sentence, ...]


NAMES = (
    (re.compile(r"ade_split_(\d+)_train\.json"), "ade_split_{}_{}.json"),
    (re.compile(r"fold-(\d+)/train\.json"), "fold-{}/{}.json"),
)


def load_folds(folder: Path, format: str = "auto") -> list[Fold]:
    """The folds in `ade_split_{f}_{train,test}.json` or `fold-{f}/{train,test}.json`, by number.

    Types are those of the one `*types.json` in the folder, above it or in fold 0; otherwise those that occur in any
    fold, sorted. Raises InputError where there are no folds, or one lacks a file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    names = sorted(p.relative_to(folder).as_posix() for p in (*folder.glob("*.json"), *folder.glob("*/train.json")))
    for pattern, form in NAMES:
        numbers = sorted(int(match[1]) for name in names if (match := pattern.fullmatch(name)))
        if numbers:
            return _read(folder, form, numbers, format)
    raise InputError(f"{folder}: neither ade_split_0_train.json nor fold-0/train.json: no folds")


def _read(folder: Path, form: str, numbers: Sequence[int], format: str) -> list[Fold]:
    if numbers != list(range(len(numbers))):
        raise InputError(f"{folder}: the folds are numbered {', '.join(map(str, numbers))}; expected 0, 1, 2, …")
    read: dict[tuple[int, str], tuple[Sentence, ...]] = {}
    for f in numbers:
        for kind in ("train", "test"):
            path = folder / form.format(f, kind)
            if not path.is_file():
                raise InputError(f"{folder}: fold {f} has no {form.format(f, kind)}")
            read[f, kind] = tuple(formats.read(path, format))
    places = (folder, folder / "fold-0", folder.parent)
    types = next((found for place in places if len(found := sorted(place.glob("*types.json"))) == 1), None)
    schema = types_file.read(types[0]) if types else Schema.infer(s for found in read.values() for s in found)
    return [Fold(f, schema, read[f, "train"], read[f, "test"]) for f in numbers]
