"""BILOU-tag JSON: `tokens`, one tag a token, `relations` indexing the entities in the order of their words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tablert_dist.data.formats import tags
from tablert_dist.data.formats.array import JsonArray
from tablert_dist.data.formats.notes import Notes, Written
from tablert_dist.data.formats.records import read_each, relations_of, sentence_id, spans_to_json
from tablert_dist.data.formats.source import Record
from tablert_dist.data.formats.spert import names
from tablert_dist.data.formats.words import on_words, words_of
from tablert_dist.errors import InputError
from tablert_dist.schema import Schema, Sentence


def iterate(path: Path, notes: Notes) -> Iterator[Sentence]:
    """Sentences in file order, of a JSON array or of JSON lines."""
    return read_each(path, _sentence, notes)


def _sentence(record: Record, where: str, notes: Notes) -> list[Sentence]:
    words = words_of(record, where, notes)
    given, count = record.get("tags"), len(record["tokens"])
    if not isinstance(given, list) or len(given) != count:
        raise InputError(f"'tags' must be a list of {count} tags, one for each token")
    if tags.is_bio(given):
        notes.count("sentences whose tags are BIO, read as such", where)
    listed = tags.spans(given, notes, where)
    entities, relations = on_words(words, listed, relations_of(record, len(listed), where, notes), where, notes)
    return [Sentence(words.words, entities, relations, sentence_id(record), sentence_id(record, "document"))]


def write(sentences: Iterable[Sentence], path: Path, written: Written, schema: Schema | None) -> None:
    """A JSON array. Tags hold no overlap: the longest stay, the others are counted with their relations."""
    with JsonArray(path) as array:
        for whole in sentences:
            sentence = tags.flat(whole, written)
            record: Record = {"tokens": list(sentence.words), "tags": tags.to_bilou(sentence)}
            array.add(record | {"relations": spans_to_json(sentence)["relations"]} | names(sentence))
            written.add(sentence)
