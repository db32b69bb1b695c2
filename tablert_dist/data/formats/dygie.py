"""DyGIE++'s JSON lines: a document a line, spans by the words of the whole document, both ends included."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tablert_dist.data.formats.notes import Notes, Written
from tablert_dist.data.formats.records import (
    checked_integer,
    checked_type,
    checked_words,
    list_of,
    read_each,
    sentence_id,
)
from tablert_dist.data.formats.source import Record, kind
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Schema, Sentence

Span = tuple[int, int]


def iterate(path: Path, notes: Notes) -> Iterator[Sentence]:
    """Sentences in file order; `document` is the `doc_key`. Raises InputError naming file, record and reason."""
    return read_each(path, _document, notes)


def _document(record: Record, where: str, notes: Notes) -> list[Sentence]:
    key = sentence_id(record, "doc_key")
    if key is None:
        raise InputError("'doc_key' is missing")
    sentences = list_of(record, "sentences")
    words = [checked_words(tokens, f"sentences[{i}]") for i, tokens in enumerate(sentences)]
    ner = _by_sentence(record, "ner", len(words))
    relations = _by_sentence(record, "relations", len(words)) if "relations" in record else [[] for _ in words]
    ids = _by_sentence(record, "_ids", len(words)) if "_ids" in record else None
    for other in ("clusters", "events"):
        if value := record.get(other):
            notes.count(f"documents with '{other}', which are not read", where, int(bool(_any(value))))
    starts = [0, *itertools.accumulate(len(w) for w in words)]
    found = []
    for i, tokens in enumerate(words):
        bounds = (starts[i], starts[i + 1])
        entities = [_entity(item, f"ner[{i}][{n}]", bounds) for n, item in enumerate(_items(ner[i], f"ner[{i}]"))]
        by_span: dict[Span, list[Entity]] = {}
        for entity in entities:
            by_span.setdefault((entity.start + starts[i], entity.end + starts[i]), []).append(entity)
        links = []
        for n, item in enumerate(_items(relations[i], f"relations[{i}]")):
            name = f"relations[{i}][{n}]"
            if (link := _relation(item, name, bounds, starts[-1], by_span, notes, where)) is not None:
                links.append(link)
        own = sentence_id({"_ids": ids[i]}, "_ids") if ids else f"{key}.{i}"
        found.append(Sentence(tokens, tuple(entities), tuple(links), own, key))
    return found


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


def _entity(item: Any, where: str, bounds: Span) -> Entity:
    # Predictions carry scores behind the type.
    if not isinstance(item, list) or len(item) < 3:
        raise InputError(f"{where} must be [first word, last word, type]")
    start, end = _span(item, 0, where)
    if not bounds[0] <= start < end <= bounds[1]:
        raise InputError(
            f"{where}: [{start}, {end - 1}] lies outside its sentence, the document's words {bounds[0]} to "
            f"{bounds[1] - 1} (positions count through the document)"
        )
    return Entity(start - bounds[0], end - bounds[0], checked_type(item[2], f"{where}[2]"))


def _relation(
    item: Any, name: str, bounds: Span, count: int, entities: Mapping[Span, list[Entity]], notes: Notes, where: str
) -> Relation | None:
    """The relation; nothing, but a note, where it reaches into another sentence."""
    if not isinstance(item, list) or len(item) < 5:
        raise InputError(f"{name} must be [head's first word, last word, tail's first word, last word, type]")
    ends, outside = [], False
    for role, at in (("head", 0), ("tail", 2)):
        start, end = _span(item, at, name)
        if not 0 <= start < end <= count:
            raise InputError(f"{name}: its {role} [{start}, {end - 1}] lies outside the document of {count} words")
        if not bounds[0] <= start < end <= bounds[1]:
            outside = True
            continue
        matching = entities.get((start, end))
        if not matching:
            raise InputError(f"{name}: its {role} [{start}, {end - 1}] is no entity of the sentence")
        if len(set(matching)) > 1:
            notes.count("relations' ends that two entities share, read as the first", f"{where}: {name}")
        ends.append(matching[0])
    kind = checked_type(item[4], f"{name}[4]")
    if outside:
        notes.count("relations across sentences, left out", f"{where}: {name}")
        return None
    return Relation(ends[0], ends[1], kind)


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
