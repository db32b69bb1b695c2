"""Plain JSON lines: a text a line, entities by characters, relations by their indices or ids; predictions too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tablert_dist.data.formats.array import write_lines
from tablert_dist.data.formats.notes import Notes, Written
from tablert_dist.data.formats.records import (
    NULLS,
    checked_integer,
    integer,
    list_of,
    read_each,
    relation_items,
    sentence_id,
    type_name,
)
from tablert_dist.data.formats.regions import Region, marks_of
from tablert_dist.data.formats.source import Record, kind
from tablert_dist.data.formats.spans import Link, Marked, splits_alike, text_and_offsets, to_sentences
from tablert_dist.data.formats.spert import names
from tablert_dist.data.formats.words import WHITE
from tablert_dist.errors import InputError
from tablert_dist.schema import Schema, Sentence
from tablert_dist.text import Span


def iterate(path: Path, notes: Notes) -> Iterator[Sentence]:
    """Sentences in file order; a text is cut into sentences as for prediction, unless it has `word_offsets`."""
    return read_each(path, sentences_of, notes)


def sentences_of(record: Record, where: str, notes: Notes) -> list[Sentence]:
    """The sentences of one line. Raises InputError naming the field."""
    if "text" not in record and "error" in record:
        notes.count("lines that say that a text could not be read, left out", where)
        return []
    text = text_of(record)
    listed = list_of(record, "entities")
    regions = [_region(item, n, where, notes) for n, item in enumerate(listed)]
    marks = marks_of(text, [region for region in regions if region is not None], where, notes)
    by_id = _by_id(listed)
    links = []
    for name, item in relation_items(record, where, notes, "head", "tail"):
        head, tail = (_end(item, role, name, by_id) for role in ("head", "tail"))
        links.append(Link(head, tail, type_name(item, name), probability(item)))
    marked = Marked(
        text,
        marks,
        links,
        sentence_id(record, "id"),
        sentence_id(record, "document"),
        offsets=word_offsets(record, text, where, notes),
    )
    return to_sentences(marked, where, notes)


def text_of(record: Record) -> str:
    """The field `text`."""
    text = record.get("text")
    if not isinstance(text, str):
        raise InputError(f"'text' must be a string, found {kind(text)}")
    return text


def word_offsets(record: Record, text: str, where: str, notes: Notes) -> list[Span] | None:
    """The field `word_offsets`: that the text is one sentence, with these words."""
    if record.get("word_offsets") is None:
        return None
    found: list[Span] = []
    for n, item in enumerate(list_of(record, "word_offsets")):
        name = f"word_offsets[{n}]"
        if not isinstance(item, list | tuple) or len(item) != 2:
            raise InputError(f"{name} must be [start, end]")
        start, end = (checked_integer(value, name) for value in item)
        if start < (found[-1][1] if found else 0) or not start < end <= len(text):
            raise InputError(f"{name} = [{start}, {end}] is empty, out of order or outside the text")
        if text[start:end].strip():
            found.append((start, end))
        else:
            notes.odd(WHITE, f"{where}: {name}")
    if not found:
        raise InputError("'word_offsets' must have at least one word")
    return found


def _region(item: Any, n: int, where: str, notes: Notes) -> Region | None:
    name = f"entities[{n}]"
    if item is None:
        notes.odd(NULLS, f"{where}: {name}")
        return None
    if not isinstance(item, dict):
        raise InputError(f"{name} must be an object, found {kind(item)}")
    start, end = integer(item, "start", name), integer(item, "end", name)
    said = item.get("text")
    if said is not None and not isinstance(said, str):
        raise InputError(f"{name}: 'text' must be a string, found {kind(said)}")
    return Region(n, start, end, type_name(item, name), said, probability(item), name)


def probability(item: Record) -> float | None:
    """The field `probability`, where it is one."""
    value = item.get("probability")
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise InputError(f"'probability' must be a number from 0 to 1, found {kind(value)}")
    return float(value)


def _by_id(entities: Sequence[Any]) -> dict[str, int] | None:
    """Positions by id where every entity has one; nothing where none has."""
    ids = [(n, sentence_id(entity, "id")) for n, entity in enumerate(entities) if entity is not None]
    if all(name is None for _, name in ids):
        return None
    found: dict[str, int] = {}
    for n, name in ids:
        if name is None:
            raise InputError(f"entities[{n}] has no 'id', but others have: relations would be ambiguous")
        if name in found:
            raise InputError(f"entities[{n}] has the id '{name[:60]}' of entities[{found[name]}]")
        found[name] = n
    return found


def _end(item: Record, role: str, where: str, by_id: dict[str, int] | None) -> object:
    """The position of the entity that is meant; another key where there is none, which is left out later."""
    if by_id is None:
        return integer(item, role, where)
    name = sentence_id(item, role)
    return by_id.get(str(name), str(name)[:60])


def text_fields(sentence: Sentence) -> Record:
    """`text`, and `word_offsets` where the text alone would be cut otherwise."""
    text, offsets = text_and_offsets(sentence)
    fields: Record = {"text": text}
    if not splits_alike(text, offsets):
        fields["word_offsets"] = [list(span) for span in offsets]
    return fields


def write(sentences: Iterable[Sentence], path: Path, written: Written, schema: Schema | None) -> None:
    """A line a sentence."""
    write_lines(sentences, path, written, _line)


def _line(sentence: Sentence) -> Record:
    text, offsets = text_and_offsets(sentence)
    index = {entity: n for n, entity in enumerate(sentence.entities)}
    entities = []
    for entity in sentence.entities:
        start, end = offsets[entity.start][0], offsets[entity.end - 1][1]
        found = {"start": start, "end": end, "text": text[start:end], "type": entity.type}
        entities.append(_sure(found, entity.probability))
    relations = [
        _sure({"head": index[r.head], "tail": index[r.tail], "type": r.type}, r.probability) for r in sentence.relations
    ]
    return names(sentence, "id") | text_fields(sentence) | {"entities": entities, "relations": relations}


def _sure(record: Record, probability: float | None) -> Record:
    return record if probability is None else record | {"probability": probability}
