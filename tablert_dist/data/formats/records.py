"""A JSON file as a list of records, and the checks that every JSON format shares."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Sentence

Record = dict[str, Any]


def load_records(path: Path) -> list[Record]:
    """Read a JSON array of objects. Raises InputError naming the file, and the record where one is at fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}") from None
    if not text.strip():
        raise InputError(f"{path}: the file is empty")
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise InputError(f"{path}: not JSON that can be read: it is nested too deep") from None
    except ValueError as error:  # such as a number of 5000 digits
        raise InputError(f"{path}: not JSON that can be read: {error}") from None
    if not isinstance(tree, list):
        raise InputError(f"{path}: expected a JSON array of sentences, found {_kind(tree)}")
    if not tree:
        raise InputError(f"{path}: the array holds no sentence")
    for index, record in enumerate(tree):
        if not isinstance(record, dict):
            raise InputError(f"{path}: record {index}: expected an object, found {_kind(record)}")
    return tree


def read_each(path: Path, parse: Callable[[Record], Sentence]) -> list[Sentence]:
    """Parse every record; a refusal is completed with the file, the index and `orig_id`."""
    return [sentence for _, sentence in _parsed(path, parse)]


def _parsed(path: Path, parse: Callable[[Record], Sentence]) -> Iterator[tuple[int, Sentence]]:
    for index, record in enumerate(load_records(path)):
        try:
            yield index, parse(record)
        except InputError as error:
            name = f" (orig_id {record['orig_id']})" if "orig_id" in record else ""
            raise InputError(f"{path}: record {index}{name}: {error}") from None


def words_of(record: Record) -> tuple[str, ...]:
    """The field `tokens`: at least one string, none empty."""
    tokens = record.get("tokens")
    if tokens is None:
        raise InputError("'tokens' is missing")
    if not isinstance(tokens, list) or not tokens:
        raise InputError("'tokens' must be a list of at least one string")
    for position, token in enumerate(tokens):
        if not isinstance(token, str):
            raise InputError(f"tokens[{position}] must be a string, found {_kind(token)}")
        if not token.strip():
            raise InputError(f"tokens[{position}] is empty or white space")
    return tuple(tokens)


def relations_of(record: Record, entities: list[Entity]) -> tuple[Relation, ...]:
    """The field `relations`: objects whose `head` and `tail` index `entities`."""
    relations = record.get("relations", [])
    if not isinstance(relations, list):
        raise InputError(f"'relations' must be a list, found {_kind(relations)}")
    found = []
    for position, relation in enumerate(relations):
        where = f"relations[{position}]"
        if not isinstance(relation, dict):
            raise InputError(f"{where} must be an object, found {_kind(relation)}")
        ends = []
        for role in ("head", "tail"):
            index = integer(relation, role, where)
            if not 0 <= index < len(entities):
                raise InputError(
                    f"{where}: its {role} is entity {index}, but the sentence has {len(entities)} (counted from 0)"
                )
            ends.append(entities[index])
        found.append(Relation(ends[0], ends[1], type_name(relation, where)))
    return tuple(found)


def integer(tree: Record, key: str, where: str) -> int:
    """An integer field; `true` is none."""
    value = tree.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{where}: '{key}' must be an integer, found {_kind(value)}")
    return value


def type_name(tree: Record, where: str) -> str:
    """The field `type`: a string that is not empty."""
    value = tree.get("type")
    if not isinstance(value, str) or not value:
        raise InputError(f"{where}: 'type' must be a name, found {_kind(value)}")
    return value


def sentence_id(record: Record) -> str | None:
    """`orig_id`, as text."""
    return str(record["orig_id"]) if record.get("orig_id") is not None else None


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), f"the number {value}" if isinstance(value, int | float) else type(value).__name__)
