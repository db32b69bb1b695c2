"""The fields that several formats have in common, each read and checked in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tablert_dist.data.formats.notes import Notes
from tablert_dist.data.formats.source import Record, kind, objects
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.text import SURROGATE

Parse = Callable[[Record, str, Notes], Sequence[Sentence]]
"""A record, where it is (for notes), and what notes it gives: its sentences. An InputError names the field."""
LARGEST = 2**31
"""No position in a sentence is beyond; a number that is would only fill the error's line."""


def read_each(path: Path, parse: Parse, notes: Notes) -> Iterator[Sentence]:
    """Parse the records of a JSON file one by one; a refusal is completed with the file, the index and the id."""
    for index, record in objects(path):
        yield from parsed(f"{path}: record {index}{named(record)}", parse, record, notes)


def parsed(where: str, parse: Parse, record: Record, notes: Notes) -> Sequence[Sentence]:
    """One record's sentences; a refusal is completed with where it is."""
    try:
        return parse(record, where, notes)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def named(record: Record) -> str:
    """` (orig_id 7)`, with the first of the fields that name a record, or nothing."""
    for key in ("orig_id", "doc_key", "id"):
        if isinstance(value := record.get(key), str | int):
            return f" ({key} {str(value)[:80]!s})".replace("\n", " ").replace("\r", " ")
    return ""


def words_of(record: Record, key: str = "tokens") -> tuple[str, ...]:
    """The words: at least one string, none empty."""
    tokens = record.get(key)
    if tokens is None:
        raise InputError(f"'{key}' is missing")
    return checked_words(tokens, key)


def checked_words(tokens: Any, name: str) -> tuple[str, ...]:
    """A list of strings as words; `name` is what it is called in the file."""
    if not isinstance(tokens, list) or not tokens:
        raise InputError(f"'{name}' must be a list of at least one string")
    for position, token in enumerate(tokens):
        if not isinstance(token, str):
            raise InputError(f"{name}[{position}] must be a string, found {kind(token)}")
        if not token.strip():
            raise InputError(f"{name}[{position}] is empty or white space")
    check_characters("".join(tokens), f"'{name}'")
    return tuple(tokens)


def check_characters(text: str, what: str) -> None:
    """Refuse what no text file holds: a NUL, and half a surrogate pair (from `\\ud83d` alone in JSON)."""
    if "\0" in text:
        raise InputError(f"{what} has a NUL character")
    if half := SURROGATE.search(text):
        raise InputError(f"{what} has half a surrogate pair, {half[0]!a}: no character")


def entities_of(record: Record) -> list[Entity]:
    """The field `entities`: objects with `start`, exclusive `end` (words) and `type`."""
    listed = record.get("entities")
    if not isinstance(listed, list):
        raise InputError("'entities' must be a list")
    entities = []
    for position, item in enumerate(listed):
        where = f"entities[{position}]"
        if not isinstance(item, dict):
            raise InputError(f"{where} must be an object")
        start, end = integer(item, "start", where), integer(item, "end", where)
        entities.append(Entity(start, end, type_name(item, where)))
    return entities


def relations_of(record: Record, entities: Sequence[Entity]) -> tuple[Relation, ...]:
    """The field `relations`: objects whose `head` and `tail` index `entities`."""
    found = []
    for position, relation in enumerate(list_of(record, "relations", [])):
        where = f"relations[{position}]"
        if not isinstance(relation, dict):
            raise InputError(f"{where} must be an object, found {kind(relation)}")
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


def list_of(record: Record, key: str, default: list[Any] | None = None) -> list[Any]:
    """A list; where the key is absent the default, if there is one."""
    value = record.get(key, default)
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
