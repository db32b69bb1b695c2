"""DyGIE++'s JSON lines: a document a line, spans by the words of the whole document, both ends included."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from tablert_dist.data.formats.source import Record, kind
from tablert_dist.data.formats.words import on_words, read_words
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Schema, Sentence

Span = tuple[int, int]


def iterate(path: Path, notes: Notes) -> Iterator[Sentence]:
    """Sentences in file order; `document` is the `doc_key`."""
    return read_each(path, _document, notes)


@dataclass(frozen=True)
class _Place:
    """A sentence in its document: its first token and the one behind its last, of `count`."""

    start: int
    end: int
    count: int


def _document(record: Record, where: str, notes: Notes) -> list[Sentence]:
    key = sentence_id(record, "doc_key")
    if key is None:
        raise InputError("'doc_key' is missing")
    sentences = list_of(record, "sentences")
    for i, tokens in enumerate(sentences):
        if not isinstance(tokens, list):
            raise InputError(f"'sentences[{i}]' must be a list of at least one string")
    lengths = [len(tokens) for tokens in sentences]
    if not any(lengths):
        raise InputError("'sentences' has no token")
    ner = _by_sentence(record, "ner", len(lengths))
    relations = _by_sentence(record, "relations", len(lengths)) if record.get("relations") is not None else None
    ids = _by_sentence(record, "_ids", len(lengths)) if "_ids" in record else None
    for other in ("clusters", "events"):
        if value := record.get(other):
            notes.count(f"documents with '{other}', which are not read", where, int(bool(_any(value))))
    starts = [0, *itertools.accumulate(lengths)]
    found = []
    for i, tokens in enumerate(sentences):
        place = _Place(starts[i], starts[i + 1], starts[-1])
        listed = _entities(_items(ner[i], f"ner[{i}]"), i, place, where, notes)
        links = _items(relations[i], f"relations[{i}]") if relations is not None else []
        if tokens == [] and not listed and not links:
            notes.odd("sentences without a word, left out", f"{where}: sentences[{i}]")
            continue
        words = read_words(tokens, f"sentences[{i}]", where, notes)
        ends = _relations(links, i, place, listed, where, notes)
        entities, held = on_words(words, listed, ends, where, notes)
        own = sentence_id({"_ids": ids[i]}, "_ids") if ids else f"{key}.{i}"
        found.append(Sentence(words.words, entities, held, own, key))
    return found


def _entities(items: list[Any], i: int, place: _Place, where: str, notes: Notes) -> list[Entity | None]:
    found: list[Entity | None] = []
    for n, item in enumerate(items):
        if null_in(item, 3):
            notes.odd(NULLS, f"{where}: ner[{i}][{n}]")
            found.append(None)
        else:
            found.append(_entity(item, f"ner[{i}][{n}]", place))
    return found


def _relations(
    items: list[Any], i: int, place: _Place, entities: Sequence[Entity | None], where: str, notes: Notes
) -> Iterator[tuple[int, int, str]]:
    by_span: dict[Span, list[int]] = {}
    for at, entity in enumerate(entities):
        if entity is not None:
            by_span.setdefault((entity.start + place.start, entity.end + place.start), []).append(at)
    for n, item in enumerate(items):
        name = f"relations[{i}][{n}]"
        if null_in(item, 5):
            notes.odd(NULL_RELATIONS, f"{where}: {name}")
        elif (link := _relation(item, name, place, by_span, entities, notes, where)) is not None:
            yield link


def _any(value: object) -> bool:
    return any(value) if isinstance(value, list) else True


def _by_sentence(record: Record, key: str, count: int) -> list[Any]:
    value = list_of(record, key)
    if len(value) != count:
        raise InputError(f"'{key}' has {len(value)} lists for {count} sentences")
    return value


def _items(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{where} must be a list, found {kind(value)}")
    return value


def _span(item: Sequence[Any], at: int, where: str) -> Span:
    """A span of the document, half-open."""
    first, last = (checked_integer(item[at + k], f"{where}[{at + k}]") for k in (0, 1))
    if first > last:
        raise InputError(f"{where}: the span [{first}, {last}] ends before it starts (both ends are included)")
    return first, last + 1


def _entity(item: Any, where: str, place: _Place) -> Entity:
    # Predictions carry scores behind the type.
    if not isinstance(item, list) or len(item) < 3:
        raise InputError(f"{where} must be [first word, last word, type]")
    start, end = _span(item, 0, where)
    if not place.start <= start < end <= place.end:
        raise InputError(
            f"{where}: [{start}, {end - 1}] lies outside its sentence, the document's words {place.start} to "
            f"{place.end - 1} (positions count through the document)"
        )
    return Entity(start - place.start, end - place.start, checked_type(item[2], f"{where}[2]"))


def _relation(
    item: Any,
    name: str,
    place: _Place,
    by_span: Mapping[Span, list[int]],
    entities: Sequence[Entity | None],
    notes: Notes,
    where: str,
) -> tuple[int, int, str] | None:
    """The positions of its ends and its type; nothing, but a note, where it reaches into another sentence."""
    if not isinstance(item, list) or len(item) < 5:
        raise InputError(f"{name} must be [head's first word, last word, tail's first word, last word, type]")
    ends = []
    kind_of = checked_type(item[4], f"{name}[4]")
    for role, at in (("head", 0), ("tail", 2)):
        start, end = _span(item, at, name)
        if not 0 <= start < end <= place.count:
            raise InputError(
                f"{name}: its {role} [{start}, {end - 1}] lies outside the document of {place.count} words"
            )
        if not place.start <= start < end <= place.end:
            notes.count("relations across sentences, left out", f"{where}: {name}")
            return None
        matching = by_span.get((start, end))
        if not matching:
            notes.odd(UNKNOWN, f"{where}: {name}: its {role} [{start}, {end - 1}] is no entity of the sentence")
            return None
        if len({entities[n] for n in matching}) > 1:
            notes.count("relations' ends that two entities share, read as the first", f"{where}: {name}")
        ends.append(matching[0])
    return ends[0], ends[1], kind_of


def write(sentences: Iterable[Sentence], path: Path, written: Written, schema: Schema | None) -> None:
    """A line for each run of sentences of one document; a sentence without one is a document of its own.

    `_ids` has the sentences' own ids.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        counter = itertools.count()
        numbered = ((s.document if s.document is not None else next(counter), s) for s in sentences)
        for key, group in itertools.groupby(numbered, key=lambda pair: pair[0]):
            members = [sentence for _, sentence in group]
            name = key if isinstance(key, str) else members[0].id or f"sentence-{key}"
            file.write(json.dumps(_line(name, members, written), ensure_ascii=False) + "\n")


def _line(key: str, sentences: Sequence[Sentence], written: Written) -> Record:
    start = 0
    ner, relations = [], []
    for sentence in sentences:
        first = {(e.start, e.end): e for e in reversed(sentence.entities)}
        held = tuple(r for r in sentence.relations if all(first[e.start, e.end] == e for e in (r.head, r.tail)))
        written.lose(
            "relations", "an end shares its words with an entity of another type", len(sentence.relations) - len(held)
        )
        ner.append([[start + e.start, start + e.end - 1, e.type] for e in sentence.entities])
        relations.append([[start + n for n in _ends(r)] + [r.type] for r in held])
        written.add(Sentence(sentence.words, sentence.entities, held))
        start += len(sentence.words)
    line: Record = {"doc_key": key, "sentences": [list(s.words) for s in sentences], "ner": ner, "relations": relations}
    if any(s.id != f"{key}.{i}" for i, s in enumerate(sentences)):
        line["_ids"] = [s.id for s in sentences]
    return line


def _ends(relation: Relation) -> list[int]:
    return [relation.head.start, relation.head.end - 1, relation.tail.start, relation.tail.end - 1]
