"""Prodigy's JSON lines: examples with `tokens`, `spans` and `relations`, of which the accepted ones are read."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tablert_dist.data.formats.array import write_lines
from tablert_dist.data.formats.jsonl import text_of
from tablert_dist.data.formats.notes import Notes, Written
from tablert_dist.data.formats.records import (
    NULL_RELATIONS,
    NULLS,
    UNKNOWN,
    checked_integer,
    has_null,
    integer,
    list_of,
    read_each,
    relation_items,
    sentence_id,
    type_name,
)
from tablert_dist.data.formats.source import Record, kind
from tablert_dist.data.formats.spans import Link, Mark, Marked, text_and_offsets, to_sentences
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Schema, Sentence
from tablert_dist.text import Span

ENDS = (("head", "head_span"), ("child", "child_span"))
"""Of a relation: the index of a token, and the span that it stands for."""


def is_prodigy(record: Record) -> bool:
    """Whether a record is an example of a task that marks spans."""
    if not isinstance(record.get("text"), str) or "entities" in record:
        return False
    tokens, spans = record.get("tokens"), record.get("spans")
    of_objects = bool(tokens) and isinstance(tokens, list) and isinstance(tokens[0], dict)
    return of_objects or (tokens is None and isinstance(spans, list))


def iterate(path: Path, notes: Notes) -> Iterator[Sentence]:
    """Sentences in file order: an example with `tokens` is one; a text without is cut as for prediction."""
    return read_each(path, _sentences, notes)


def _sentences(record: Record, where: str, notes: Notes) -> list[Sentence]:
    if record.get("answer") not in (None, "accept"):
        notes.count("examples that were rejected or ignored, left out", where)
        return []
    text = text_of(record)
    tokens = _tokens(record, text, where, notes)
    marks = _marks(record, where, notes)
    # spaCy has tokens of white space, which are no words.
    words = [(start, end) for start, end in tokens if text[start:end].strip()]
    if tokens and not words:
        raise InputError("'tokens' has no word, only white space")
    meta = record.get("meta")
    about = meta if isinstance(meta, dict) else {}
    name, document = _name(about, "id"), _name(about, "document")
    marked = Marked(
        text,
        marks,
        _links(record, _Ends(marks, tokens), where, notes),
        _name(record, "id") if name is None else name,
        document,
        offsets=words or None,
    )
    return to_sentences(marked, where, notes)


def _name(about: Record, key: str) -> str | None:
    """A name; what else somebody keeps under that key is none."""
    value = about.get(key)
    return sentence_id(about, key) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _tokens(record: Record, text: str, where: str, notes: Notes) -> list[Span]:
    """Where each token stands, those of white space too."""
    found: list[Span] = []
    for n, item in enumerate(list_of(record, "tokens", [], where, notes)):
        name = f"tokens[{n}]"
        if not isinstance(item, dict):
            raise InputError(f"{name} must be an object, found {kind(item)}")
        start, end = integer(item, "start", name), integer(item, "end", name)
        if start < (found[-1][1] if found else 0) or not start < end <= len(text):
            raise InputError(f"{name} = [{start}, {end}] is empty, out of order or outside the text")
        if isinstance(said := item.get("text"), str) and said != text[start:end]:
            raise InputError(
                f"{name}: its 'text' is {said[:60]!r}, but characters [{start}, {end}) are {text[start:end][:60]!r}"
            )
        found.append((start, end))
    return found


def _marks(record: Record, where: str, notes: Notes) -> list[Mark]:
    found = []
    for n, item in enumerate(list_of(record, "spans", [], where, notes)):
        name = f"spans[{n}]"
        if item is None:
            notes.odd(NULLS, f"{where}: {name}")
            continue
        if not isinstance(item, dict):
            raise InputError(f"{name} must be an object, found {kind(item)}")
        start, end = integer(item, "start", name), integer(item, "end", name)
        found.append(Mark(n, start, end, type_name(item, name, "label")))
    return found


@dataclass
class _Ends:
    """The spans of an example by what relations say of their ends."""

    marks: Sequence[Mark]
    tokens: Sequence[Span]
    _by_token: list[Mark | None] | None = None
    _by_span: dict[tuple[object, ...], Mark] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for mark in reversed(self.marks):
            self._by_span[mark.start, mark.end] = self._by_span[mark.start, mark.end, mark.type] = mark

    def of(self, relation: Record, role: str, span_key: str, name: str) -> Mark | None:
        """The span that is meant: with these offsets, of equal ones with this label; else the one that holds the token."""
        span = relation.get(span_key)
        if isinstance(span, dict):
            start, end = (integer(span, key, f"{name}: {span_key}") for key in ("start", "end"))
            labelled = self._by_span.get((start, end, span["label"])) if isinstance(span.get("label"), str) else None
            return labelled or self._by_span.get((start, end))
        if span is not None:
            raise InputError(f"{name}: '{span_key}' must be an object, found {kind(span)}")
        at = checked_integer(relation.get(role), f"{name}: '{role}'")
        if self._by_token is None:
            self._by_token = list(self._owners())
        return self._by_token[at] if 0 <= at < len(self.tokens) else None

    def _owners(self) -> Iterator[Mark | None]:
        """For each token the first span that ends with it (as Prodigy counts), else the first that holds it."""
        starts, ends = [start for start, _ in self.tokens], [end for _, end in self.tokens]
        owners: list[Mark | None] = [None] * len(self.tokens)
        last: dict[int, Mark] = {}
        # Where the next token without an owner is: each is visited once, however many spans there are on it.
        free = list(range(len(self.tokens) + 1))
        for mark in self.marks:
            at, stop = bisect_right(ends, mark.start), bisect_left(starts, mark.end)
            if at < stop:
                last.setdefault(stop - 1, mark)
            while (at := _next(free, at)) < stop:
                owners[at] = mark
                free[at] = at + 1
        return (last.get(n, owner) for n, owner in enumerate(owners))


def _next(free: list[int], at: int) -> int:
    """The end of the chain that begins at `at`, which is made shorter on the way."""
    while free[at] != at:
        free[at] = free[free[at]]
        at = free[at]
    return at


def _links(record: Record, ends: _Ends, where: str, notes: Notes) -> list[Link]:
    found = []
    for name, item in relation_items(record, where, notes, "head", "child"):
        spans = [span for _, key in ENDS if isinstance(span := item.get(key), dict)]
        if any(has_null(span, "start", "end") for span in spans):
            notes.odd(NULL_RELATIONS, f"{where}: {name}")
            continue
        head, tail = (ends.of(item, role, key, name) for role, key in ENDS)
        kind_of = type_name(item, name, "label")
        if head is None or tail is None:
            notes.odd(UNKNOWN, f"{where}: {name}: its {'head' if head is None else 'child'} is no span")
        else:
            found.append(Link(head.key, tail.key, kind_of))
    return found


def write(sentences: Iterable[Sentence], path: Path, written: Written, schema: Schema | None) -> None:
    """An accepted example a sentence; its id and document are in `meta`."""
    write_lines(sentences, path, written, _example)


def _example(sentence: Sentence) -> Record:
    text, offsets = text_and_offsets(sentence)
    tokens = [
        {"text": text[start:end], "start": start, "end": end, "id": n, "ws": text[end : end + 1] == " "}
        for n, (start, end) in enumerate(offsets)
    ]
    relations = []
    for relation in sentence.relations:
        # A token stands for the span that ends with it.
        ends: dict[str, Any] = {"head": relation.head.end - 1, "child": relation.tail.end - 1}
        spans = {"head_span": _span(relation.head, offsets), "child_span": _span(relation.tail, offsets)}
        relations.append({**ends, **spans, "label": relation.type})
    given = {"id": sentence.id, "document": sentence.document}
    meta = {key: value for key, value in given.items() if value is not None}
    spans_of = [_span(entity, offsets) for entity in sentence.entities]
    example = {"text": text, "tokens": tokens, "spans": spans_of, "relations": relations, "answer": "accept"}
    return example | {"meta": meta} if meta else example


def _span(entity: Entity, offsets: Sequence[Span]) -> Record:
    start, end = offsets[entity.start][0], offsets[entity.end - 1][1]
    place = {"start": start, "end": end, "token_start": entity.start, "token_end": entity.end - 1}
    return {**place, "label": entity.type}
