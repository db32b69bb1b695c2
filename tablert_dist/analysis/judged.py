"""Predictions beside gold, each with its probability and whether it is right: what calibration is measured on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tablert_dist.analysis.calibration import Calibration, calibrate
from tablert_dist.heads.table_decoding import triple_probability
from tablert_dist.heads.temperatures import Measured
from tablert_dist.schema import Relation, Schema, Sentence

Pair = tuple[Sentence, Sentence]
"""Gold, and what was predicted."""


@dataclass(frozen=True)
class Judged:
    """One prediction. `right`: of an entity, its span and type are gold; of a relation or a triple, it is right at RE+."""

    type: str
    probability: float
    right: bool


@dataclass(frozen=True)
class Reliability:
    """Whether the probabilities of entities, relations and triples mean what they say."""

    entities: Calibration
    relations: Calibration
    """By the probability of the relation alone."""
    triples: Calibration
    """By the relation's times both entities'."""

    @property
    def measured(self) -> Measured:
        """The three errors."""
        return Measured(entities=self.entities.ece, relations=self.relations.ece, triples=self.triples.ece)


def reliability(pairs: Sequence[Pair], schema: Schema) -> Reliability:
    """The reliability curves of what was predicted; predictions without a probability are left out."""
    return Reliability(
        _curve(judged_entities(pairs)),
        _curve(judged_relations(pairs, schema)),
        _curve(judged_relations(pairs, schema, triples=True)),
    )


def judged_entities(pairs: Sequence[Pair]) -> list[Judged]:
    """Every predicted entity that has a probability, in order."""
    found = []
    for gold, said in pairs:
        expected = set(gold.entities)
        found += [Judged(e.type, e.probability, e in expected) for e in said.entities if e.probability is not None]
    return found


def judged_relations(pairs: Sequence[Pair], schema: Schema, triples: bool = False) -> list[Judged]:
    """Every predicted relation that has a probability, in order; `triples`: its triple's instead."""
    found = []
    for gold, said in pairs:
        expected = {typed_key(r, schema) for r in gold.relations}
        for r in said.relations:
            probability = triple_probability(r) if triples else r.probability
            if probability is not None:
                found.append(Judged(r.type, probability, typed_key(r, schema) in expected))
    return found


def typed_key(relation: Relation, schema: Schema) -> tuple[Any, ...]:
    """What two relations share that are the same at RE+."""
    ends = [relation.head, relation.tail]
    return (relation.type, *(sorted(ends) if relation.type in schema.symmetric else ends))


def _curve(judged: Iterable[Judged]) -> Calibration:
    items = list(judged)
    return calibrate([item.probability for item in items], [item.right for item in items])
