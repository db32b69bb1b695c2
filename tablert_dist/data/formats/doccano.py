"""doccano's JSON: entities and relations by their ids, or `label` with one list an entity; offsets on characters."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tablert_dist.data.formats.jsonl import text_fields, word_offsets
from tablert_dist.data.formats.labelstudio_text import ABOUT
from tablert_dist.data.formats.notes import Notes, Written
from tablert_dist.data.formats.records import (
    NULLS,
    checked_integer,
    checked_type,
    integer,
    list_of,
    null_in,
    read_each,
    relation_items,
    sentence_id,
    type_name,
)
from tablert_dist.data.formats.source import Record, kind
from tablert_dist.data.formats.spans import Link, Mark, Marked, text_and_offsets, to_sentences
from tablert_dist.data.formats.spert import names
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Schema, Sentence

LABELS = ("label", "labels")
"""The list of a project without relations, in later and in earlier versions."""


def is_doccano(record: Record) -> bool:
    """Whether a record is one of doccano's; one without an entity is where it has doccano's own key `Comments`."""
    if not isinstance(record.get("text", record.get("data")), str) or any(key in record for key in ABOUT):
        return False
    if isinstance(entities := record.get("entities"), list):
        return any(_is_list(item) or (isinstance(item, dict) and "start_offset" in item) for item in entities) or (
            "Comments" in record and not entities
        )
    return any(isinstance(items := record.get(key), list) and all(map(_is_list, items)) for key in LABELS)


def _is_list(item: Any) -> bool:
    return isinstance(item, list) and len(item) == 3


def iterate(path: Path, notes: Notes) -> Iterator[Sentence]:
    """Sentences in file order; a text is cut into sentences as for prediction, unless it has `word_offsets`."""
    return read_each(path, _sentences, notes)


def _sentences(record: Record, where: str, notes: Notes) -> list[Sentence]:
    key = "data" if "data" in record and "text" not in record else "text"
    text = record.get(key)
    if not isinstance(text, str):
        raise InputError(f"'{key}' must be a string, found {kind(text)}")
    marked = Marked(
        text,
        _marks(record, where, notes),
        _links(record, where, notes),
        sentence_id(record, "id"),
        sentence_id(record, "document"),
        offsets=word_offsets(record, text, where, notes),
    )
    return to_sentences(marked, where, notes)


def _marks(record: Record, where: str, notes: Notes) -> list[Mark]:
    """The field `entities`, `label` or `labels`: objects or lists, of which only objects have ids."""
    given = next((key for key in ("entities", *LABELS) if key in record), None)
    if given is None:
        raise InputError("neither 'entities' nor 'label' nor 'labels' is there")
    found: dict[object, Mark] = {}
    for n, item in enumerate(list_of(record, given, [], where, notes)):
        name = f"{given}[{n}]"
        if null_in(item, 3):
            notes.odd(NULLS, f"{where}: {name}")
            continue
        mark = _mark(item, n, name)
        if mark.key in found:
            raise InputError(f"{name} has the id '{str(mark.key)[:60]}' of another")
        found[mark.key] = mark
    return list(found.values())


def _mark(item: Any, n: int, name: str) -> Mark:
    if _is_list(item):
        start, end = (checked_integer(value, name) for value in item[:2])
        return Mark(n, start, end, checked_type(item[2], f"{name}[2]"))
    if not isinstance(item, dict):
        raise InputError(f"{name} must be an object or [start, end, type], found {kind(item)}")
    own = sentence_id(item, "id")
    start, end = integer(item, "start_offset", name), integer(item, "end_offset", name)
    return Mark(n if own is None else own, start, end, type_name(item, name, "label"))


def _links(record: Record, where: str, notes: Notes) -> list[Link]:
    found = []
    for name, item in relation_items(record, where, notes, "from_id", "to_id"):
        head, tail = _end(item, "from_id", name), _end(item, "to_id", name)
        found.append(Link(head, tail, type_name(item, name)))
    return found


def _end(item: Record, role: str, name: str) -> str:
    found = sentence_id(item, role)
    if found is None:
        raise InputError(f"{name} must have 'from_id' and 'to_id'")
    return found


def write(sentences: Iterable[Sentence], path: Path, written: Written, schema: Schema | None) -> None:
    """A line a sentence, as a project with relations exports them; ids of entities and relations are the file's."""
    entities, relations = itertools.count(1), itertools.count(1)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for sentence in sentences:
            record = names(sentence, "id") | text_fields(sentence) | _annotations(sentence, entities, relations)
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            written.add(sentence)


def _annotations(sentence: Sentence, entities: Iterator[int], relations: Iterator[int]) -> Record:
    _, offsets = text_and_offsets(sentence)
    numbered = [(next(entities), entity) for entity in sentence.entities]
    keys = {entity: number for number, entity in numbered}
    links: Sequence[Any] = [
        {"id": next(relations), "from_id": keys[r.head], "to_id": keys[r.tail], "type": r.type}
        for r in sentence.relations
    ]
    marks = [{"id": number, "label": entity.type, **_span(entity, offsets)} for number, entity in numbered]
    return {"entities": marks, "relations": links, "Comments": []}


def _span(entity: Entity, offsets: Sequence[tuple[int, int]]) -> Record:
    return {"start_offset": offsets[entity.start][0], "end_offset": offsets[entity.end - 1][1]}
