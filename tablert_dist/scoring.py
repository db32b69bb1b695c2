"""NER, RE and RE+ scores: counts that add up over sentences and workers, ratios only at the end (SPEC §7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tablert_dist.schema import Relation, Schema, Sentence
from tablert_dist.tables import Ints

LEVELS = ("ner", "re", "re_plus")
TITLES = {"ner": "NER", "re": "RE", "re_plus": "RE+"}


@dataclass(frozen=True)
class Counts:
    """True positives, false positives, false negatives: `table[level and type, 3]`. Counts of one schema add up."""

    schema: Schema
    table: Ints

    @staticmethod
    def zero(schema: Schema) -> Counts:
        """Nothing counted yet."""
        return Counts(schema, np.zeros((len(_rows(schema)), 3), np.int64))

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.schema, self.table + other.table)

    def scores(self) -> Scores:
        """The ratios of what was counted."""
        levels = {}
        for level in LEVELS:
            by_type = {
                kind: _ratio(self.table[i])
                for i, (row_level, kind) in enumerate(_rows(self.schema))
                if row_level == level and self.table[i].any()
            }
            rows = [self.table[i] for i, (row_level, _) in enumerate(_rows(self.schema)) if row_level == level]
            micro = _ratio(np.sum(rows, axis=0) if rows else np.zeros(3, np.int64))
            levels[level] = LevelScores(micro, _mean(list(by_type.values())), by_type)
        return Scores(levels)


@dataclass(frozen=True)
class Ratio:
    """Precision, recall and F1 in 0–1; support = gold items. 0/0 = 0."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class LevelScores:
    """One level's averages; macro over the types seen in gold or prediction."""

    micro: Ratio
    macro: Ratio
    by_type: Mapping[str, Ratio]


@dataclass(frozen=True)
class Scores:
    """`levels["ner" | "re" | "re_plus"]`."""

    levels: Mapping[str, LevelScores]

    def f1(self, level: str) -> float:
        """Micro F1 in 0–1."""
        return self.levels[level].micro.f1

    def flat(self, split: str) -> dict[str, float]:
        """Metrics by name, such as `dev/re_plus_f1` and `dev/ner_macro_f1` (MLflow refuses `+`)."""
        values = {}
        for level, scores in self.levels.items():
            for name, ratio in (("", scores.micro), ("macro_", scores.macro)):
                values[f"{split}/{level}_{name}precision"] = ratio.precision
                values[f"{split}/{level}_{name}recall"] = ratio.recall
                values[f"{split}/{level}_{name}f1"] = ratio.f1
        return values

    def to_json(self) -> dict[str, Any]:
        """Everything, in 0–1."""
        return {level: asdict(scores) for level, scores in self.levels.items()}


@dataclass(frozen=True)
class Protocol:
    """What a score needs to be comparable; it never travels without it."""

    dataset: str
    data_hash: str
    trained_on: str
    scored_on: str
    overlap: str
    encoder: str
    epochs: int
    selection: str
    seeds: tuple[int, ...]
    averaging: str = "micro"

    def __str__(self) -> str:
        return (
            f"{self.dataset} ({self.data_hash[:8]}), trained on {self.trained_on}, scored on {self.scored_on}, "
            f"{self.averaging}, {self.encoder}, {self.epochs} epochs, {self.selection}, overlap {self.overlap}, "
            f"seeds {', '.join(map(str, self.seeds))}"
        )


def count(pairs: Iterable[tuple[Sentence, Sentence]], schema: Schema) -> Counts:
    """Compare (gold, predicted) sentences; duplicates count once, symmetric relations match in either order."""
    total = Counts.zero(schema)
    rows = {row: i for i, row in enumerate(_rows(schema))}
    for gold, predicted in pairs:
        for level in LEVELS:
            expected, found = (_items(s, level, schema) for s in (gold, predicted))
            for column, items in enumerate((expected & found, found - expected, expected - found)):
                for item in items:
                    total.table[rows[level, item[0]], column] += 1
    return total


def _items(sentence: Sentence, level: str, schema: Schema) -> set[tuple[str, Any, Any]]:
    if level == "ner":
        return {(e.type, e.start, e.end) for e in sentence.entities}
    return {_relation_item(r, level == "re_plus", schema) for r in sentence.relations}


def _relation_item(relation: Relation, typed: bool, schema: Schema) -> tuple[str, Any, Any]:
    ends = [(e.start, e.end, e.type if typed else "") for e in (relation.head, relation.tail)]
    if relation.type in schema.symmetric:
        ends.sort()
    return relation.type, ends[0], ends[1]


def _rows(schema: Schema) -> list[tuple[str, str]]:
    entities = [("ner", kind) for kind in schema.entity_types]
    return entities + [(level, kind) for level in ("re", "re_plus") for kind in schema.relation_types]


def _ratio(row: Ints) -> Ratio:
    hits, wrong, missed = (int(n) for n in row)
    precision = hits / (hits + wrong) if hits + wrong else 0.0
    recall = hits / (hits + missed) if hits + missed else 0.0
    f1 = 2 * hits / (2 * hits + wrong + missed) if hits else 0.0
    return Ratio(precision, recall, f1, hits + missed)


def _mean(ratios: list[Ratio]) -> Ratio:
    if not ratios:
        return Ratio(0.0, 0.0, 0.0, 0)
    parts = [float(np.mean([getattr(r, f) for r in ratios])) for f in ("precision", "recall", "f1")]
    return Ratio(parts[0], parts[1], parts[2], sum(r.support for r in ratios))
