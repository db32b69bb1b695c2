"""Temperatures: the numbers that logits are divided by before a probability is read (Guo et al. 2017, "On Calibration of
Modern Neural Networks"). They change probabilities, never which labels are predicted."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tablert_dist.storage.records import Record, parsed

LOWEST, HIGHEST = 0.25, 20.0
"""Limits of a temperature. At 20 a logit of 80 says what one of 4 did."""
Temperature = Annotated[float, Field(ge=LOWEST, le=HIGHEST)]


class Temperatures(Record):
    """1 leaves a probability as the network has it; above 1 it is less sure, below 1 surer."""

    tags: Temperature = 1.0
    """Of entity tags; of SpERT, of span types."""
    cells: Temperature = 1.0
    """Of relation tags; of SpERT, of a pair's relations."""

    @property
    def neutral(self) -> bool:
        """Whether they change nothing."""
        return self == NEUTRAL

    @property
    def of_tags(self) -> tuple[float, ...]:
        """Those that an entity's probabilities are read with: the fitted one and, where it is another, 1."""
        return (self.tags,) if self.tags == 1.0 else (self.tags, 1.0)

    def __str__(self) -> str:
        return f"tags {self.tags:.2f}, cells {self.cells:.2f}"


NEUTRAL = Temperatures()


class Measured(Record):
    """Expected calibration errors in 0–1, of entities, relations and triples."""

    entities: Annotated[float, Field(ge=0.0, le=1.0)]
    relations: Annotated[float, Field(ge=0.0, le=1.0)]
    triples: Annotated[float, Field(ge=0.0, le=1.0)]


class Fitted(Record):
    """Temperatures, and what they were fitted on: what a checkpoint and a bundle keep."""

    temperatures: Temperatures = NEUTRAL
    note: str
    """A sentence: what they were fitted on, or why they are 1."""
    sentences: Annotated[int, Field(ge=0)] = 0
    entities: Annotated[int, Field(ge=0)] = 0
    """Predicted ones."""
    relations: Annotated[int, Field(ge=0)] = 0
    """Predicted ones; each is a triple."""
    before: Measured | None = None
    """On the sentences that they were fitted on; None where nothing was fitted."""
    after: Measured | None = None

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"temperatures: {self.temperatures} ({self.note})"]
        counts = {"entities": self.entities, "relations": self.relations, "triples": self.relations}
        if self.before and self.after:
            lines += [
                f"expected calibration error of {kind}: {100 * getattr(self.before, kind):.1f} % before, "
                f"{100 * getattr(self.after, kind):.1f} % after, on {count} predictions there"
                for kind, count in counts.items()
            ]
        return lines

    def to_json(self) -> dict[str, Any]:
        """A mapping that `read_fitted` reads back."""
        return self.model_dump()


def read_fitted(tree: Any, what: str) -> Fitted | None:
    """Return what a record holds; None of an earlier version's, which has none. Raises InputError, beginning with `what`."""
    return None if tree is None else parsed(Fitted, tree, what)


def temperatures_of(fitted: Fitted | None) -> Temperatures:
    """The temperatures to predict with: 1 where none were ever fitted."""
    return NEUTRAL if fitted is None else fitted.temperatures
