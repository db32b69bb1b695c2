"""SpERT's JSON: `tokens`, `entities` with `start`, exclusive `end` and `type`, `relations` indexing that list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tablert_dist.data.formats.array import JsonArray
from tablert_dist.data.formats.notes import Notes, Written
from tablert_dist.data.formats.records import entities_of, read_each, relations_of, sentence_id, spans_to_json
from tablert_dist.data.formats.source import Record
from tablert_dist.data.formats.words import on_words, words_of
from tablert_dist.schema import Schema, Sentence


def iterate(path: Path, notes: Notes) -> Iterator[Sentence]:
    """Sentences in file order, of a JSON array or of JSON lines."""
    return read_each(path, _sentence, notes)


def _sentence(record: Record, where: str, notes: Notes) -> list[Sentence]:
    words = words_of(record, where, notes)
    listed = entities_of(record, where, notes)
    entities, relations = on_words(words, listed, relations_of(record, len(listed), where, notes), where, notes)
    return [Sentence(words.words, entities, relations, sentence_id(record), sentence_id(record, "document"))]


def write(sentences: Iterable[Sentence], path: Path, written: Written, schema: Schema | None) -> None:
    """A JSON array; `document` is a further key, where there is one."""
    with JsonArray(path) as array:
        for sentence in sentences:
            array.add(record_of(sentence))
            written.add(sentence)


def record_of(sentence: Sentence) -> Record:
    """The sentence as a record. A relation's head and tail are found by position."""
    return {"tokens": list(sentence.words), **spans_to_json(sentence), **names(sentence)}


def names(sentence: Sentence, key: str = "orig_id") -> Record:
    """The id and the document, where there are any."""
    given = {key: sentence.id, "document": sentence.document}
    return {name: value for name, value in given.items() if value is not None}
