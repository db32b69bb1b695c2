"""What was seen on the way that is no error: counted by reason while reading and while writing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tablert_dist.errors import InputError, counted
from tablert_dist.schema import Sentence

SHOWN, KEPT = 3, 100
"""Reasons of records left out that a line has, and that are kept."""


class Refused(InputError):  # noqa: N818
    """What `strict` reading refuses; its sentence says where already."""


class Notes:
    """What a reader left out or changed: how often, and where first. One object may go through several files.

    `strict` refuses what is at fault in a file instead: a record that cannot be read, and what is `odd` in one. `field`
    names the text among several strings of a record, for the formats that have none of their own for it.
    """

    def __init__(self, strict: bool = False, field: str | None = None) -> None:
        self.strict, self.field = strict, field
        self.reasons: list[str] = []
        self.left_out = 0
        self._seen: dict[str, tuple[int, str]] = {}

    def count(self, what: str, where: str, number: int = 1) -> None:
        """Add `number` to what is said of `what`, a plural with what became of it; `where` is kept of the first."""
        before, first = self._seen.get(what) or (0, _one_line(where))
        self._seen[what] = (before + number, first)

    def odd(self, what: str, where: str, number: int = 1) -> None:
        """As `count`, of what a file without faults does not have. Raises InputError where reading is strict."""
        if self.strict:
            raise Refused(f"{_one_line(where)}: {what}: refused, because reading is strict")
        self.count(what, where, number)

    def leave_out(self, where: str, why: str) -> None:
        """Count a record that cannot be read, and say why. Raises InputError where reading is strict."""
        said = _one_line(f"{where}: {why}")
        if self.strict:
            raise Refused(said)
        self.left_out += 1
        if len(self.reasons) < KEPT:
            self.reasons.append(said)

    def apart(self) -> Notes:
        """An empty one that reads alike, for what may come to nothing; `add` takes it in."""
        return Notes(self.strict, self.field)

    def add(self, other: Notes) -> None:
        """Count what the other has counted."""
        self.left_out += other.left_out
        self.reasons = (self.reasons + other.reasons)[:KEPT]
        for what, (number, where) in other._seen.items():
            self.count(what, where, number)

    def number(self, what: str) -> int:
        """How often `what` was counted."""
        return self._seen.get(what, (0, ""))[0]

    def counts(self) -> Iterator[tuple[str, int, str]]:
        """What was counted, how often, and where first, in the order in which it was first seen."""
        for what, (number, where) in self._seen.items():
            yield what, number, where

    def lines(self) -> list[str]:
        """One sentence for each kind, in the order in which they were first seen, after the records left out."""
        seen = [f"{number} {what} (the first: {where})" for what, number, where in self.counts()]
        if not self.left_out:
            return seen
        more = f"; and {self.left_out - SHOWN} more" if self.left_out > SHOWN else ""
        return [f"{counted(self.left_out, 'record')} left out: {'; '.join(self.reasons[:SHOWN])}{more}", *seen]


def _one_line(said: str) -> str:
    """An id or an entity's text may have line breaks."""
    return said.replace("\n", " ").replace("\r", " ")


@dataclass
class Written:
    """What was written to `path`, and in `lost` what the format cannot hold: counts by (what, why).

    `what` is `sentences`, `entities`, `relations`, `words`, `types`, `ids`, `documents`, `texts` or `probabilities`.
    """

    path: Path
    sentences: int = 0
    entities: int = 0
    relations: int = 0
    lost: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, sentence: Sentence) -> None:
        """Count a sentence as it was written."""
        self.sentences += 1
        self.entities += len(sentence.entities)
        self.relations += len(sentence.relations)

    def lose(self, what: str, why: str, number: int = 1) -> None:
        """Count what could not be held."""
        if number:
            self.lost[what, why] = self.lost.get((what, why), 0) + number

    def number_lost(self, what: str) -> int:
        """All that was lost of one kind."""
        return sum(number for (kind, _), number in self.lost.items() if kind == what)

    def lines(self) -> list[str]:
        """One sentence about what was written, and one for each kind of loss."""
        numbers = (
            counted(self.sentences, "sentence"),
            counted(self.entities, "entity", "entities"),
            counted(self.relations, "relation"),
        )
        first = f"{self.path}: {', '.join(numbers)}"
        return [first, *(f"not held: {number} {what}: {why}" for (what, why), number in self.lost.items())]
