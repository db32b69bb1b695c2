"""How many predicted triples break a model's rules, without the rules and with them."""

from __future__ import annotations

from collections.abc import Sequence

from tablert_dist.analysis.rereading import read_as
from tablert_dist.heads.rules import Broken, Rules
from tablert_dist.inference.predictor import Predictor
from tablert_dist.schema import Sentence
from tablert_dist.storage.records import Record


class Checked(Record):
    """Predicted triples against rules."""

    note: str
    """Where the rules come from."""
    on: bool
    """Whether the predictions keep them."""
    before: Broken
    """Of what is predicted without them."""
    after: Broken
    """Of the predictions: the same where they are off."""

    def __str__(self) -> str:
        told = f"{self.before} break them"
        if self.on:
            return f"constraints ({self.note}): without them {told}, with them {self.after}"
        return f"constraints ({self.note}), off: {told}"


def check_predictions(predictor: Predictor, found: Sequence[Sentence]) -> Checked | None:
    """Return what the predictor's own results break of its rules, or, where these are off, of those on record with its
    model; None where there are none. With rules on, the sentences are read once more without them."""
    rules, on_record = predictor.scheme.rules, predictor.constraints
    if rules is not None:
        ways = [(predictor.scheme.temperatures, None)]
        (without,) = read_as(predictor, [sentence.words for sentence in found], ways)
        return Checked(note=rules.constraints.note, on=True, before=rules.broken(without), after=rules.broken(found))
    return None if on_record is None else check_kept(Rules.of(on_record, predictor.tags), found)


def check_kept(rules: Rules, found: Sequence[Sentence]) -> Checked:
    """Return what sentences break that were predicted without these rules, or by something else."""
    broken = rules.broken(found)
    return Checked(note=rules.constraints.note, on=False, before=broken, after=broken)
