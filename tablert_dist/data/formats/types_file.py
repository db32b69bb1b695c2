"""The types file of SpERT's data sets: label order, symmetric relations, and rules of ours (`heads/constraints.py`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tablert_dist.errors import InputError
from tablert_dist.heads.constraints import Constraints, given_constraints
from tablert_dist.schema import Schema


def read(path: Path) -> Schema:
    """The schema in the file's order. Raises InputError naming the file."""
    tree = _tree(path)
    parts = [tree.get(key) for key in ("entities", "relations")]
    if not all(isinstance(part, dict) for part in parts):
        raise InputError(f"{path}: a types file is an object with the objects 'entities' and 'relations'")
    entities, relations = parts
    assert isinstance(entities, dict) and isinstance(relations, dict)
    symmetric = {name for name, what in relations.items() if isinstance(what, dict) and what.get("symmetric") is True}
    return Schema(tuple(entities), tuple(relations), frozenset(symmetric))


def read_rules(path: Path, schema: Schema | None = None) -> Constraints | None:
    """The constraints that a types file gives; None where it gives none. It may lack 'entities'.

    schema: whose types the rules may name; unset: the file's own. Raises InputError naming the file for a type that the
    schema has not, and as `given_constraints` does.
    """
    tree = _tree(path)
    relations = tree.get("relations")
    if not isinstance(relations, dict):
        raise InputError(f"{path}: rules stand in the object 'relations' of a types file, which it lacks")
    found = given_constraints(relations, str(path), path.name)
    return found and found.check(read(path) if schema is None else schema, str(path))


def _tree(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: a types file is an object with the objects 'entities' and 'relations'")
    return tree


def own(path: Path) -> Path:
    """Where the types file of a single data file lies: `data_types.json` beside `data.json`."""
    return path.with_name(f"{path.stem}_types.json")


def beside(path: Path) -> Path | None:
    """The types file of a data file or folder: its own, else the only `*types.json` beside it, else None.

    What is another data file's own is not counted, unless that is a split of a corpus, which has one types file.
    """
    found = [p for p in sorted(path.parent.glob("*types.json")) if p != path]
    if own(path) in found:
        return own(path)
    found = [p for p in found if not _of_another(p)]
    return found[0] if len(found) == 1 else None


def _of_another(types: Path) -> bool:
    stem = types.name.removesuffix("_types.json")
    if stem == types.name or stem.endswith(("train", "dev", "test", "validation")):
        return False
    return any(p.stem == stem for p in types.parent.iterdir())
