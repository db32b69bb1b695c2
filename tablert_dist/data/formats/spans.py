"""Character spans on a text as word spans in its sentences; what does not fit is counted, never moved in silence."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

from tablert_dist.data.formats.notes import Notes
from tablert_dist.data.formats.records import UNKNOWN, check_characters
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.text import Span, split_sentences, split_words

LANGUAGE = "en"
"""Whose rules cut texts into sentences, as `predict.language` by default."""
WIDENED = "entities that cut a word, widened to whole words"
TRIMMED = "entities with white space at an end, which was left out"
MERGED = "entities that cut a word and would be widened to the words of another, left out"
EMPTY = "entities of white space only, left out"
CROSSING = "entities that cross the end of a sentence, left out"
ACROSS = "relations across sentences, left out"
ORPHANS = "relations of an entity that was left out, left out"


@dataclass(frozen=True, slots=True)
class Mark:
    """An entity on characters `start … end - 1`; `key` is what relations call it."""

    key: object
    start: int
    end: int
    type: str
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A relation between two keys."""

    head: object
    tail: object
    type: str
    probability: float | None = None


@dataclass(frozen=True)
class Marked:
    """A text with what is marked in it. `pieces` are its sentences, `offsets` its words; unset: split as for
    prediction. `id` and `document` are the record's."""

    text: str
    marks: Sequence[Mark]
    links: Sequence[Link]
    id: str | None = None
    document: str | None = None
    pieces: Sequence[Span] | None = None
    offsets: Sequence[Span] | None = None


class _Words:
    """The words of a text, sentence by sentence."""

    def __init__(self, marked: Marked) -> None:
        text = marked.text
        if marked.offsets is not None:
            cut = [list(marked.offsets)]
        else:
            pieces = marked.pieces if marked.pieces is not None else split_sentences(text, LANGUAGE)
            cut = [split_words(text, start, end) for start, end in pieces]
        self.sentences = [words for words in cut if words]
        self.all = list(chain.from_iterable(self.sentences))
        self.sentence_of = [number for number, words in enumerate(self.sentences) for _ in words]
        self.begins = [0, *accumulate(map(len, self.sentences))]
        self._starts, self._ends = [start for start, _ in self.all], [end for _, end in self.all]

    def inside(self, start: int, end: int) -> Span:
        """The first and the last word that have one of these characters; the last before the first where none has."""
        return bisect_right(self._ends, start), bisect_left(self._starts, end) - 1

    def are(self, words: Span, characters: Span) -> bool:
        """Whether the words begin and end with these characters."""
        return (self.all[words[0]][0], self.all[words[1]][1]) == characters


def to_sentences(marked: Marked, where: str, notes: Notes) -> list[Sentence]:
    """The sentences that have a word. Of several, ids are `ID.0`, `ID.1`, …, and the document is at least the id.

    Raises InputError for spans outside the text.
    """
    check_characters(marked.text, "the text")
    words = _Words(marked)
    if not words.all:
        notes.odd("texts without a word, left out", where)
    placed, entities = _placed(marked, words, where, notes)
    relations = _relations(marked.links, placed, len(words.sentences), where, notes)
    several = len(words.sentences) > 1
    return [
        _sentence(marked, own, entities[i], relations[i], f".{i}" if several else "")
        for i, own in enumerate(words.sentences)
    ]


Placed = dict[object, tuple[int, Entity] | None]
"""By key the sentence of an entity and the entity; nothing where it was left out."""


def _placed(marked: Marked, words: _Words, where: str, notes: Notes) -> tuple[Placed, list[list[Entity]]]:
    """Where each mark went, and the entities of each sentence."""
    placed: Placed = {}
    entities: list[list[Entity]] = [[] for _ in words.sentences]
    spans = [_trimmed(marked.text, mark, where, notes) for mark in marked.marks]
    found = [words.inside(*span) for span in spans]
    # Of several marks that come to lie on the same words one is the entity: the one that needs no widening, else the first.
    owner: dict[Span, Span] = {}
    for exact in (True, False):
        for span, (first, last) in zip(spans, found, strict=True):
            if first <= last and words.are((first, last), span) is exact:
                owner.setdefault((first, last), span)
    for mark, span, (first, last) in zip(marked.marks, spans, found, strict=True):
        placed[mark.key] = None
        name = f"{where}: {mark.type} '{marked.text[mark.start : mark.end][:40]}'"
        if first > last:
            notes.count(EMPTY, name)
            continue
        number = words.sentence_of[first]
        if number != words.sentence_of[last]:
            notes.count(CROSSING, name)
            continue
        if owner[first, last] != span:
            notes.count(MERGED, name)
            continue
        if not words.are((first, last), span):
            notes.count(WIDENED, name)
        base = words.begins[number]
        entity = Entity(first - base, last + 1 - base, mark.type, mark.probability)
        placed[mark.key] = (number, entity)
        entities[number].append(entity)
    return placed, entities


def _trimmed(text: str, mark: Mark, where: str, notes: Notes) -> Span:
    if not 0 <= mark.start < mark.end <= len(text):
        raise InputError(
            f"the {mark.type} [{mark.start}, {mark.end}) lies outside the text of {len(text)} characters, or is empty"
        )
    inside = text[mark.start : mark.end]
    start = mark.start + len(inside) - len(inside.lstrip())
    end = mark.end - len(inside) + len(inside.rstrip())
    if start < end and (start, end) != (mark.start, mark.end):
        notes.count(TRIMMED, f"{where}: {mark.type} {inside[:40]!a}")
    return (start, end) if start < end else (mark.start, mark.start)


def _relations(links: Sequence[Link], placed: Placed, count: int, where: str, notes: Notes) -> list[list[Relation]]:
    found: list[list[Relation]] = [[] for _ in range(count)]
    for link in links:
        name = f"{where}: {link.type} from {str(link.head)[:60]} to {str(link.tail)[:60]}"
        if unknown := [key for key in (link.head, link.tail) if key not in placed]:
            notes.odd(UNKNOWN, f"{name}: the entity {unknown[0]!r:.80}, which there is not")
            continue
        head, tail = placed[link.head], placed[link.tail]
        if head is None or tail is None:
            notes.count(ORPHANS, name)
        elif head[0] != tail[0]:
            notes.count(ACROSS, name)
        else:
            found[head[0]].append(Relation(head[1], tail[1], link.type, link.probability))
    return found


def _sentence(
    marked: Marked, words: Sequence[Span], entities: list[Entity], relations: list[Relation], suffix: str
) -> Sentence:
    # One sentence keeps its text as it was read; of several, each begins and ends with its own words.
    start, end = (words[0][0], words[-1][1]) if suffix else (0, len(marked.text))
    text = marked.text[start:end]
    offsets = tuple((a - start, b - start) for a, b in words)
    return Sentence(
        tuple(text[a:b] for a, b in offsets),
        tuple(entities),
        tuple(relations),
        None if marked.id is None else marked.id + suffix,
        marked.id if marked.document is None and suffix else marked.document,
        text,
        offsets,
    )


def text_and_offsets(sentence: Sentence) -> tuple[str, Sequence[Span]]:
    """The sentence's own characters, or its words joined by spaces."""
    if sentence.text is not None and sentence.offsets is not None:
        return sentence.text, sentence.offsets
    offsets, at = [], 0
    for word in sentence.words:
        offsets.append((at, at + len(word)))
        at += len(word) + 1
    return " ".join(sentence.words), offsets


def splits_alike(text: str, offsets: Sequence[Span]) -> bool:
    """Whether a text without its words' offsets reads as one sentence with just these words."""
    pieces = [words for start, end in split_sentences(text, LANGUAGE) if (words := split_words(text, start, end))]
    return pieces == [list(offsets)]
