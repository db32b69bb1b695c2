"""What a page shows of a sentence: its text cut into marked and unmarked pieces, and the arcs between the marks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tablert_dist.errors import InputError

LONG_WORD = 24
"""A last word up to this many characters stays on one line with its label."""


class Status(StrEnum):
    """How an item compares with gold; PLAIN where there is no gold."""

    PLAIN = ""
    HIT = "hit"
    MISSED = "missed"
    SPURIOUS = "spurious"

    @property
    def wrong(self) -> bool:
        """Missed or spurious."""
        return self in {Status.MISSED, Status.SPURIOUS}


@dataclass(frozen=True)
class Mark:
    """An entity: characters `start … end - 1` of the text."""

    start: int
    end: int
    type: str
    probability: float | None = None
    status: Status = Status.PLAIN


@dataclass(frozen=True)
class Arc:
    """A relation between the marks `head` and `tail` (indices); a symmetric one is drawn without an arrow."""

    head: int
    tail: int
    type: str
    probability: float | None = None
    status: Status = Status.PLAIN
    symmetric: bool = False


@dataclass(frozen=True)
class Segment:
    """A piece of the text. `mark` is the index of its entity, None between entities; `last` is its last word."""

    text: str
    mark: int | None = None
    last: str = ""


@dataclass(frozen=True)
class Row:
    """One reading of a text. Raises InputError where marks leave the text or overlap, or an arc ends nowhere."""

    text: str
    marks: tuple[Mark, ...]
    arcs: tuple[Arc, ...]
    title: str = ""

    def __post_init__(self) -> None:
        for i, mark in enumerate(self.marks):
            if not 0 <= mark.start < mark.end <= len(self.text):
                raise InputError(
                    f"entity {i} ({mark.type}) has start {mark.start} and end {mark.end}, "
                    f"outside its text of {len(self.text)} characters ('end' is exclusive and above 'start')"
                )
        ordered = self._ordered()
        for (i, one), (j, other) in itertools.pairwise(ordered):
            if other.start < one.end:
                raise InputError(f"entities {i} ({one.type}) and {j} ({other.type}) overlap")
        for i, arc in enumerate(self.arcs):
            for role, end in (("head", arc.head), ("tail", arc.tail)):
                if not 0 <= end < len(self.marks):
                    raise InputError(
                        f"relation {i} ({arc.type}): its {role} {end} is none of {len(self.marks)} entities"
                    )

    @property
    def segments(self) -> list[Segment]:
        """The whole text, in order and without overlap; their `text + last` joined is the text as it is shown."""
        pieces = []
        at = 0
        for i, mark in self._ordered():
            if at < mark.start:
                pieces.append(Segment(visible(self.text[at : mark.start])))
            pieces.append(_marked(visible(self.text[mark.start : mark.end]), i))
            at = mark.end
        if at < len(self.text):
            pieces.append(Segment(visible(self.text[at:])))
        return pieces

    @property
    def wrong(self) -> bool:
        """Whether something in it is missed or spurious."""
        return any(mark.status.wrong for mark in self.marks) or any(arc.status.wrong for arc in self.arcs)

    def words(self, mark: int) -> str:
        """What a mark covers."""
        return visible(self.text[self.marks[mark].start : self.marks[mark].end])

    def types(self) -> Iterator[tuple[str, str]]:
        """`("entity" | "relation", type)` of everything in it."""
        yield from (("entity", mark.type) for mark in self.marks)
        yield from (("relation", arc.type) for arc in self.arcs)

    def _ordered(self) -> Sequence[tuple[int, Mark]]:
        return sorted(enumerate(self.marks), key=lambda item: item[1].start)


@dataclass(frozen=True)
class Card:
    """A sentence on the page: one row, or prediction and gold where they differ.

    `heat` is its table of probabilities (`heat.payload`), `note` says why there is none.
    """

    title: str
    rows: tuple[Row, ...]
    heat: dict[str, Any] | None = None
    note: str = ""

    @property
    def wrong(self) -> bool:
        """Whether something in it is missed or spurious."""
        return any(row.wrong for row in self.rows)

    def tallies(self) -> list[tuple[str, dict[str, int]]]:
        """`("entities" | "triples", count by status)`; each item counts once though a hit is in two rows."""
        found = []
        for name, kind in (("entities", "marks"), ("triples", "arcs")):
            counts = dict.fromkeys((Status.HIT, Status.MISSED, Status.SPURIOUS), 0)
            for i, row in enumerate(self.rows):
                for item in getattr(row, kind):
                    if item.status in counts and (i == 0 or item.status is not Status.HIT):
                        counts[item.status] += 1
            found.append((name, {str(status): n for status, n in counts.items()}))
        return found


def visible(text: str) -> str:
    """The text with what HTML or UTF-8 cannot hold made visible: control characters, lone surrogates."""
    return "".join(_shown(c) for c in text)


def _shown(char: str) -> str:
    code = ord(char)
    if code < 0x20 and char not in "\t\n\r":
        return chr(0x2400 + code)
    return "\N{REPLACEMENT CHARACTER}" if 0xD800 <= code < 0xE000 or 0x7F <= code < 0xA0 else char


def _marked(text: str, mark: int) -> Segment:
    """Split off the last word, which must not part from the label that follows it."""
    cut = max((i + 1 for i, c in enumerate(text.rstrip()) if c.isspace()), default=0)
    if len(text) - cut > LONG_WORD:
        return Segment(text, mark)
    return Segment(text[:cut], mark, text[cut:])
