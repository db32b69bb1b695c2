"""Fit the temperatures of a model on annotated sentences that it was not trained on.

What is minimised is the mean log loss of "this entity is right" plus that of "this triple is right", over what the model
predicts: the probabilities that are read, against what they claim (docs/concepts.md#calibration).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tablert_dist.analysis.judged import Pair, judged_entities, judged_relations, reliability
from tablert_dist.analysis.rereading import read_at
from tablert_dist.heads.temperatures import HIGHEST, LOWEST, NEUTRAL, Fitted, Measured, Temperatures
from tablert_dist.inference.predictor import Predictor
from tablert_dist.schema import Schema, Sentence
from tablert_dist.tags import Floats, Ints

ENOUGH = 10
"""Right predictions, and wrong ones, that a temperature is fitted to; of fewer it would follow single sentences."""
READ_AT = 12
"""Temperatures that probabilities are read at. Between them the log odds are interpolated by 1 / temperature: of two
labels they are a straight line."""
NEVER = 1e-12
"""Log odds are of probabilities that keep this far from 0 and 1."""
STEPS = 121
"""Temperatures that are tried, 3.7 % apart."""
ROUNDS = 20
"""Of one temperature after the other; the second is often the last."""
SURE = 1e-7
"""No prediction costs more than one that was said to be wrong with this probability."""
NO_DEV = "not fitted: there is no dev split"


def fit_temperatures(predictor: Predictor, gold: Sequence[Sentence], named: str) -> Fitted:
    """Return the temperatures of what the model predicts in these sentences, with the calibration error before and after.

    predictor: with default settings of prediction; whatever temperatures it has are not looked at. named: the sentences,
    in notes ("conll04 dev"). The result is the same every time. Where a kind of prediction has fewer than `ENOUGH` right
    or wrong ones, its temperature stays 1 and the note says so.
    """
    words = [sentence.words for sentence in gold]
    schema = predictor.tags.schema
    evidence = evidence_of(predictor, gold)
    temperatures, left = _fit(evidence)
    before, after = read_at(predictor, words, [NEUTRAL, temperatures])
    return Fitted(
        temperatures=temperatures,
        note="; ".join([f"fitted on {named}" if len(left) < len(KINDS) else f"not fitted on {named}", *left]),
        sentences=len(gold),
        entities=len(evidence.right_entity),
        relations=len(evidence.right_triple),
        before=measure(gold, before, schema),
        after=measure(gold, after, schema),
    )


def measure(gold: Sequence[Sentence], found: Sequence[Sentence], schema: Schema) -> Measured:
    """The calibration errors of entities, relations and triples."""
    return reliability(list(zip(gold, found, strict=True)), schema).measured


KINDS = ("entities", "triples")


@dataclass(frozen=True)
class Evidence:
    """Log probabilities of each prediction at each temperature that is tried. K entities, M relations, T temperatures."""

    tried: Floats  # [T]
    entity_KT: Floats
    right_entity: NDArray[np.bool_]  # [K]
    relation_MT: Floats
    right_triple: NDArray[np.bool_]  # [M]
    head: Ints  # [M] place among the entities
    tail: Ints  # [M]

    def entity_loss(self) -> Floats:
        """[T] by the temperature of tags."""
        return _loss(self.entity_KT, self.right_entity)

    def triple_loss_of_cells(self, tags: int) -> Floats:
        """[T] by the temperature of cells, at one of tags."""
        ends = self.entity_KT[self.head, tags] + self.entity_KT[self.tail, tags]
        return _loss(self.relation_MT + ends[:, None], self.right_triple)

    def triple_loss_of_tags(self, cells: int) -> Floats:
        """[T] by the temperature of tags, at one of cells."""
        ends = self.entity_KT[self.head] + self.entity_KT[self.tail]
        return _loss(ends + self.relation_MT[:, cells, None], self.right_triple)


def evidence_of(predictor: Predictor, gold: Sequence[Sentence]) -> Evidence:
    """What the model predicts in these sentences, at every temperature."""
    places = np.geomspace(LOWEST, HIGHEST, READ_AT).clip(LOWEST, HIGHEST)
    schema = predictor.tags.schema
    everywhere = [Temperatures(tags=t, cells=t) for t in places.tolist()]
    found = read_at(predictor, [sentence.words for sentence in gold], everywhere)
    readings: list[list[Pair]] = [list(zip(gold, read, strict=True)) for read in found]
    entities = [judged_entities(pairs) for pairs in readings]
    relations = [judged_relations(pairs, schema) for pairs in readings]
    heads, tails, first = [], [], 0
    for _, said in readings[0]:
        place = {entity: first + i for i, entity in enumerate(said.entities)}
        first += len(said.entities)
        heads += [place[r.head] for r in said.relations]
        tails += [place[r.tail] for r in said.relations]
    tried = np.geomspace(LOWEST, HIGHEST, STEPS).clip(LOWEST, HIGHEST)

    def between(columns: Sequence[Sequence[float]]) -> Floats:
        p = np.asarray(columns, np.float64).reshape(len(places), -1).T.clip(NEVER, 1 - NEVER)
        # From the hottest to the coldest: interpolation wants places that rise.
        rows = [np.interp(1 / tried, 1 / places[::-1], odds[::-1]) for odds in np.log(p) - np.log1p(-p)]
        return np.asarray(-np.log1p(np.exp(-np.asarray(rows).reshape(-1, STEPS))))

    return Evidence(
        tried,
        between([[one.probability for one in column] for column in entities]),
        np.asarray([one.right for one in entities[0]], bool),
        between([[one.probability for one in column] for column in relations]),
        np.asarray([one.right for one in relations[0]], bool),
        np.asarray(heads, np.int64),
        np.asarray(tails, np.int64),
    )


def _loss(log_probability: Floats, right: NDArray[np.bool_]) -> Floats:
    """[T] the mean log loss of "this is right" over the rows."""
    p = np.exp(log_probability).clip(SURE, 1 - SURE)
    return np.asarray(-np.log(np.where(right[:, None], p, 1 - p)).sum(0) / max(len(right), 1))


def _fit(evidence: Evidence) -> tuple[Temperatures, list[str]]:
    """The temperatures, and why one of them was not fitted. One after the other until neither moves, from 1."""
    fitted = {}
    left = []
    for kind, right in zip(KINDS, (evidence.right_entity, evidence.right_triple), strict=True):
        hits, misses = int(right.sum()), int((~right).sum())
        fitted[kind] = min(hits, misses) >= ENOUGH
        if not fitted[kind]:
            name = "tags" if kind == "entities" else "cells"
            left.append(
                f"the temperature of {name} stays 1: of {len(right)} predicted {kind} {hits} are right and "
                f"{misses} wrong, and {ENOUGH} of each are needed"
            )
    one = int(np.abs(np.log(evidence.tried)).argmin())
    tags, cells = one, one
    for _ in range(ROUNDS):
        old = tags, cells
        if fitted["entities"]:
            of_triples = evidence.triple_loss_of_tags(cells) if fitted["triples"] else 0.0
            tags = int(np.argmin(evidence.entity_loss() + of_triples))
        if fitted["triples"]:
            cells = int(evidence.triple_loss_of_cells(tags).argmin())
        if (tags, cells) == old:
            break
    values = [float(evidence.tried[i]) if fitted[kind] else 1.0 for i, kind in zip((tags, cells), KINDS, strict=True)]
    return Temperatures(tags=values[0], cells=values[1]), left
