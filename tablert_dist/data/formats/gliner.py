"""GLiNER's JSON for training: `tokenized_text`, `ner` with both ends included, `relations` between positions in `ner`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tablert_dist.data.formats.array import JsonArray
from tablert_dist.data.formats.notes import Notes, Written
from tablert_dist.data.formats.records import (
    NULL_RELATIONS,
    NULLS,
    UNKNOWN,
    checked_integer,
    checked_type,
    list_of,
    null_in,
    read_each,
    sentence_id,
)
from tablert_dist.data.formats.source import Record
from tablert_dist.data.formats.spert import names
from tablert_dist.data.formats.words import on_words, words_of
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Schema, Sentence


def is_gliner(record: Record) -> bool:
    """Whether a record is one of GLiNER's."""
    return "tokenized_text" in record


def iterate(path: Path, notes: Notes) -> Iterator[Sentence]:
    """Sentences in file order, of a JSON array or of JSON lines."""
    return read_each(path, _sentence, notes)


def _sentence(record: Record, where: str, notes: Notes) -> list[Sentence]:
    words = words_of(record, where, notes, "tokenized_text")
    listed = _entities(record, where, notes)
    entities, relations = on_words(words, listed, _relations(record, len(listed), where, notes), where, notes)
    return [Sentence(words.words, entities, relations, sentence_id(record, "id"), sentence_id(record, "document"))]


def _entities(record: Record, where: str, notes: Notes) -> list[Entity | None]:
    found: list[Entity | None] = []
    for n, item in enumerate(list_of(record, "ner")):
        name = f"ner[{n}]"
        if null_in(item, 3):
            notes.odd(NULLS, f"{where}: {name}")
            found.append(None)
            continue
        if not isinstance(item, list) or len(item) < 3:
            raise InputError(f"{name} must be [first word, last word, type]")
        first, last = (checked_integer(value, name) for value in item[:2])
        if not 0 <= first <= last:
            raise InputError(f"{name}: [{first}, {last}] is no span of words (both ends are included)")
        found.append(Entity(first, last + 1, checked_type(item[2], f"{name}[2]")))
    return found


def _relations(record: Record, count: int, where: str, notes: Notes) -> Iterator[tuple[int, int, str]]:
    for n, item in enumerate(list_of(record, "relations", [], where, notes)):
        name = f"relations[{n}]"
        if null_in(item, 3):
            notes.odd(NULL_RELATIONS, f"{where}: {name}")
            continue
        if not isinstance(item, list) or len(item) < 3:
            raise InputError(f"{name} must be [head, tail, type], where head and tail are positions in 'ner'")
        head, tail = (checked_integer(value, name) for value in item[:2])
        kind_of = checked_type(item[2], f"{name}[2]")
        if 0 <= head < count and 0 <= tail < count:
            yield head, tail, kind_of
        else:
            notes.odd(UNKNOWN, f"{where}: {name}: [{head}, {tail}], but 'ner' has {count} (counted from 0)")


def write(sentences: Iterable[Sentence], path: Path, written: Written, schema: Schema | None) -> None:
    """A JSON array. `id` and `document` are further keys, which GLiNER passes over."""
    with JsonArray(path) as array:
        for sentence in sentences:
            array.add(_record(sentence))
            written.add(sentence)


def _record(sentence: Sentence) -> Record:
    index = {entity: n for n, entity in enumerate(sentence.entities)}
    return {
        "tokenized_text": list(sentence.words),
        "ner": [[e.start, e.end - 1, e.type] for e in sentence.entities],
        "relations": [[index[r.head], index[r.tail], r.type] for r in sentence.relations],
        **names(sentence, "id"),
    }
