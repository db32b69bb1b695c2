"""The fields that several formats have in common, each read and checked in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tablert_dist.data.formats.notes import Notes, Refused
from tablert_dist.data.formats.source import Record, kind, objects
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Sentence
from tablert_dist.text import SURROGATE

Parse = Callable[[Record, str, Notes], Sequence[Sentence]]
"""A record, where it is (for notes), and what notes it gives: its sentences. An InputError names the field."""
UNKNOWN = "relations of an entity that is not there, left out"
NULLS = "entities that are null, left out"
NULL_RELATIONS = "relations that are null or have an end that is, left out"
LARGEST = 2**31
"""No position in a sentence is beyond; a number that is would only fill the error's line."""


def read_each(path: Path, parse: Parse, notes: Notes) -> Iterator[Sentence]:
    """Parse the records of a JSON file one by one; one that cannot be read is left out, or refused if reading is strict.

    Either names the file, the index and the id.
    """
    for index, record in objects(path, notes):
        yield from parsed(f"{path}: record {index}{named(record)}", parse, record, notes)


T = TypeVar("T")


def parsed(
    where: str, parse: Callable[[T, str, Notes], Sequence[Sentence]], record: T, notes: Notes, prefix: str = ""
) -> Sequence[Sentence]:
    """One record's sentences; none where it cannot be read, which is noted, or refused if reading is strict.

    `prefix`: what a refusal may begin with that `where` says already.
    """
    own = notes.apart()
    try:
        found = parse(record, where, own)
    except Refused:
        raise
    except InputError as error:
        notes.leave_out(where, str(error).removeprefix(prefix))
        return ()
    notes.add(own)
    return found


def named(record: Record) -> str:
    """` (orig_id 7)`, with the first of the fields that name a record, or nothing."""
    for key in ("orig_id", "doc_key", "id"):
        if isinstance(value := record.get(key), str | int):
            return f" ({key} {str(value)[:80]!s})".replace("\n", " ").replace("\r", " ")
    return ""


def check_characters(text: str, what: str) -> None:
    """Refuse what no text file holds: a NUL, and half a surrogate pair (from `\\ud83d` alone in JSON)."""
    if "\0" in text:
        raise InputError(f"{what} has a NUL character")
    if half := SURROGATE.search(text):
        raise InputError(f"{what} has half a surrogate pair, {half[0]!a}: no character")


def entities_of(record: Record, where: str, notes: Notes) -> list[Entity | None]:
    """The field `entities`: objects with `start`, exclusive `end` (words) and `type`; nothing for one that is null."""
    listed = record.get("entities")
    if not isinstance(listed, list):
        raise InputError("'entities' must be a list")
    entities: list[Entity | None] = []
    for position, item in enumerate(listed):
        name = f"entities[{position}]"
        if item is None:
            notes.odd(NULLS, f"{where}: {name}")
            entities.append(None)
            continue
        if not isinstance(item, dict):
            raise InputError(f"{name} must be an object")
        start, end = integer(item, "start", name), integer(item, "end", name)
        entities.append(Entity(start, end, type_name(item, name)))
    return entities


def relations_of(record: Record, count: int, where: str, notes: Notes) -> Iterator[tuple[int, int, str]]:
    """The field `relations`: objects whose `head` and `tail` index `count` entities, and their types.

    Left out is one that is null, has an end that is null, or one of an entity that the record does not have.
    """
    for name, relation in relation_items(record, where, notes, "head", "tail"):
        ends = [integer(relation, role, name) for role in ("head", "tail")]
        kind_of = type_name(relation, name)
        for role, index in zip(("head", "tail"), ends, strict=True):
            if not 0 <= index < count:
                notes.odd(
                    UNKNOWN,
                    f"{where}: {name}: its {role} is entity {index}, but the sentence has {count} (counted from 0)",
                )
                break
        else:
            yield ends[0], ends[1], kind_of


def relation_items(record: Record, where: str, notes: Notes, *ends: str) -> Iterator[tuple[str, Record]]:
    """The objects under `relations` with what each is called in messages; left out is one that is null or has a null end."""
    for position, item in enumerate(list_of(record, "relations", [], where, notes)):
        name = f"relations[{position}]"
        if item is None or (isinstance(item, dict) and has_null(item, *ends)):
            notes.odd(NULL_RELATIONS, f"{where}: {name}")
        elif not isinstance(item, dict):
            raise InputError(f"{name} must be an object, found {kind(item)}")
        else:
            yield name, item


def null_in(item: Any, length: int) -> bool:
    """Whether an item is null, or a list with a null among so many first."""
    return item is None or (isinstance(item, list) and None in item[:length])


def has_null(item: Record, *keys: str) -> bool:
    """Whether one of the fields is there, and null."""
    return any(key in item and item[key] is None for key in keys)


def list_of(
    record: Record, key: str, default: list[Any] | None = None, where: str = "", notes: Notes | None = None
) -> list[Any]:
    """A list; where the key is absent the default, if there is one, and with `notes` where it is null."""
    value = record.get(key, default)
    if value is None and key in record and default is not None and notes is not None:
        notes.odd(f"fields '{key}' that are null, read as empty", where)
        return default
    if not isinstance(value, list):
        raise InputError(f"'{key}' must be a list, found {kind(value)}" if key in record else f"'{key}' is missing")
    return value


def integer(tree: Record, key: str, where: str) -> int:
    """An integer field; `true` is none."""
    return checked_integer(tree.get(key), f"{where}: '{key}'")


def checked_integer(value: Any, what: str) -> int:
    """An integer of a size that a position can have."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{what} must be an integer, found {kind(value)}")
    if abs(value) >= LARGEST:
        raise InputError(f"{what} is out of range: {str(value)[:20]} …")
    return value


def type_name(tree: Record, where: str, key: str = "type") -> str:
    """The field `type`: a name."""
    return checked_type(tree.get(key), f"{where}: '{key}'")


def checked_type(value: Any, what: str) -> str:
    """A name of printable characters that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{what} must be a name, found {kind(value)}")
    if not value.isprintable():
        raise InputError(f"{what} = {ascii(value)[:80]} must be a name of printable characters")
    return value


def sentence_id(record: Record, key: str = "orig_id") -> str | None:
    """A name that is a string or an integer, as text."""
    value = record.get(key)
    if value is None:
        return None
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise InputError(f"'{key}' must be a string or an integer, found {kind(value)}")
    check_characters(str(value), f"'{key}'")
    return str(value)


def spans_to_json(sentence: Sentence) -> Record:
    """`entities` with word spans, and `relations` indexing them: what `entities_of` and `relations_of` read."""
    index = {entity: position for position, entity in enumerate(sentence.entities)}
    return {
        "entities": [{"type": e.type, "start": e.start, "end": e.end} for e in sentence.entities],
        "relations": [{"type": r.type, "head": index[r.head], "tail": index[r.tail]} for r in sentence.relations],
    }
