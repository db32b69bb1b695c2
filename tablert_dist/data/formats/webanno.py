"""WebAnno TSV 3, which INCEpTION writes too: a sentence a block, its spans and relations on the rows of its tokens."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tablert_dist.data.formats.notes import Notes
from tablert_dist.data.formats.records import UNKNOWN, check_characters, checked_type, parsed
from tablert_dist.data.formats.regions import counted_as
from tablert_dist.data.formats.spans import ACROSS, CROSSING, ORPHANS, Link, Mark, Marked, to_sentences
from tablert_dist.data.formats.webanno_cells import unescape_text
from tablert_dist.data.formats.webanno_rows import Block, Key, Row, blocks
from tablert_dist.data.formats.words import WHITE
from tablert_dist.errors import InputError
from tablert_dist.schema import Sentence
from tablert_dist.text import Span

NO_TYPE = "entities without a label, left out"
NO_LABEL = "relations without a label, left out"
NO_LENGTH = "entities of no characters, left out"
NO_WORD = "sentences without a word, left out"
NO_TEXT = "sentences whose '#Text' is not their tokens, read from the tokens alone"
_UNITS = counted_as(lambda c: 1 + (c > "\uffff"))


def iterate(path: Path, notes: Notes) -> Iterator[Sentence]:
    """Sentences in file order, as the file has them."""
    before: set[tuple[Key, str | None]] = set()
    for block, following in itertools.pairwise(itertools.chain(blocks(path, notes), [None])):
        if block is None:
            return
        name = f" (id {block.id[:80]})" if block.id and block.id.isprintable() else ""
        where = f"{path}: line {block.line}{name}"
        last = block.edge(last=True)
        # What is on the last token of a sentence and on the first of the next one is one span, across both.
        next_one = last & following.edge(last=False) if following and following.header == block.header else set()
        crossing = {key for key, _ in (before & block.edge(last=False)) | next_one}
        before = last if following and following.header == block.header else set()
        yield from parsed(where, partial(_sentences, crossing=crossing), block, notes, f"line {block.line}: ")


def _sentences(block: Block, where: str, notes: Notes, crossing: set[Key]) -> list[Sentence]:
    if block.fault is not None:
        raise InputError(block.fault)
    if not block.rows:
        notes.odd(NO_WORD, where)
        return []
    text, places = _text(block, where, notes)
    words: list[Span] = []
    for row, (start, end) in zip(block.rows, places, strict=True):
        if row.part:
            continue
        if start < (words[-1][1] if words else 0) or not start < end:
            raise InputError(f"the token {row.id} is empty, or begins before the one before it ends")
        words.append((start, end))
    kept = [(start, end) for start, end in words if text[start:end].strip()]
    if len(kept) < len(words):
        notes.odd(WHITE, where, len(words) - len(kept))
    if not kept:
        notes.odd(NO_WORD, where)
        return []
    for own in (block.id, block.document):
        check_characters(own or "", "the id or document")
    spans = _Spans.of(block.rows, places)
    marks = spans.marks(crossing, where, notes)
    links = list(_links(block.rows, spans, where, notes))
    name, document = block.id or None, block.document or None
    return to_sentences(Marked(text, marks, links, name, document, offsets=kept), where, notes)


def _text(block: Block, where: str, notes: Notes) -> tuple[str, list[Span]]:
    """The sentence's text, and where each row stands in it; the tokens joined by spaces where they are not the text."""
    tokens: dict[str, Row] = {}
    for row in block.rows:
        if not row.part and tokens.setdefault(row.id, row) is not row:
            raise InputError(f"the token {row.id} is there twice")
    text = "\n".join(block.texts)
    if not tokens:
        raise InputError("there are parts of tokens, but no token")
    base = next(iter(tokens.values())).start
    # As it should be; characters and not units of UTF-16; a text that begins before its first token.
    ways = [(_UNITS(text), 0), (range(len(text) + 1), 0), (_UNITS(text), len(text) - len(text.lstrip()))]
    for starts, shift in ways:
        spans = [tuple(_at(starts, n - base + shift) for n in (row.start, row.end)) for row in block.rows]
        if all(
            row.part or text[start:end] in (row.word, unescape_text(row.word))
            for row, (start, end) in zip(block.rows, spans, strict=True)
        ):
            if any(min(span) < 0 for span in spans):
                raise InputError("a part of a token lies outside the sentence")
            return text, [(start, end) for start, end in spans]
    notes.odd(NO_TEXT, where)
    joined, where_is, at = [], {}, 0
    for token in tokens.values():
        word = unescape_text(token.word)
        where_is[token.id] = (at, at + len(word))
        joined.append(word)
        at += len(word) + 1
    if any(row.token not in where_is for row in block.rows):
        raise InputError("there is a part of a token that is not there")
    return " ".join(joined), [where_is[row.token] for row in block.rows]


def _at(starts: Sequence[int], number: int) -> int:
    return starts[number] if 0 <= number < len(starts) else -1


@dataclass
class _Spans:
    """The spans of a sentence, and those on each row."""

    places: dict[Key, Span] = field(default_factory=dict)
    labels: dict[Key, str | None] = field(default_factory=dict)
    alone: dict[tuple[str, int], Key] = field(default_factory=dict)
    """By row and layer the first span without a number."""
    first: dict[tuple[str, int], Key] = field(default_factory=dict)
    left_out: set[Key] = field(default_factory=set)

    @classmethod
    def of(cls, rows: Sequence[Row], places: Sequence[Span]) -> _Spans:
        """What the rows say. Raises InputError where a span has two types."""
        found = cls()
        for row, (start, end) in zip(rows, places, strict=True):
            for key, label in row.spans:
                if found.labels.setdefault(key, label) != label:
                    raise InputError(f"the span [{key[1]}] has the types {found.labels[key]!r} and {label!r}"[:200])
                begin, stop = found.places.get(key, (start, end))
                found.places[key] = (min(begin, start), max(stop, end))
                found.first.setdefault((row.id, key[0]), key)
                if not isinstance(key[1], int):
                    found.alone.setdefault((row.id, key[0]), key)
        return found

    def marks(self, crossing: set[Key], where: str, notes: Notes) -> list[Mark]:
        """The spans that are entities."""
        found = []
        for key, (start, end) in self.places.items():
            label = self.labels[key]
            reason = NO_TYPE if label is None else CROSSING if key in crossing else NO_LENGTH if start >= end else None
            if label is None or reason is not None:
                notes.count(str(reason), where)
                self.left_out.add(key)
            else:
                found.append(Mark(key, start, end, checked_type(label, "the type of an entity")))
        return found

    def end(self, row: str, number: int, bases: Sequence[int]) -> Key | None:
        """The span with that number; without one, of those on the row the first that has none either."""
        for layer in bases:
            if number:
                if (key := (layer, number)) in self.places:
                    return key
            elif (row, layer) in self.first:
                return self.alone.get((row, layer), self.first[row, layer])
        return None


def _links(rows: Sequence[Row], spans: _Spans, where: str, notes: Notes) -> Iterator[Link]:
    here = {row.id for row in rows}
    for row in rows:
        for arrow in row.arrows:
            said = f"{where}: row {row.id}"
            head = spans.end(arrow.source, arrow.numbers[0], arrow.bases)
            tail = spans.end(row.id, arrow.numbers[1], arrow.bases)
            if arrow.type is None:
                notes.count(NO_LABEL, said)
            elif arrow.source not in here and arrow.source.partition("-")[0] != row.id.partition("-")[0]:
                notes.count(ACROSS, said)
            elif head is None or tail is None:
                notes.odd(UNKNOWN, f"{said}: its {'source' if head is None else 'target'} is no entity")
            elif head in spans.left_out or tail in spans.left_out:
                notes.count(ORPHANS, said)
            else:
                yield Link(head, tail, checked_type(arrow.type, "the type of a relation"))
