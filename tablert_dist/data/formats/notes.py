"""What was seen on the way that is no error: counted by reason while reading and while writing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tablert_dist.errors import counted
from tablert_dist.schema import Sentence


class Notes:
    """What a reader left out or changed: how often, and where first. One object may go through several files."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, str]] = {}

    def count(self, what: str, where: str, number: int = 1) -> None:
        """Add `number` to what is said of `what`, a plural with what became of it; `where` is kept of the first."""
        before, first = self._seen.get(what, (0, where))
        self._seen[what] = (before + number, first)

    def number(self, what: str) -> int:
        """How often `what` was counted."""
        return self._seen.get(what, (0, ""))[0]

    def lines(self) -> list[str]:
        """One sentence for each kind, in the order in which they were first seen."""
        return [f"{number} {what} (the first: {where})" for what, (number, where) in self._seen.items()]


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
