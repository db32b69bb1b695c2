"""NER, RE and RE+ scores: counts that add up over sentences and workers, ratios only at the end (docs/concepts.md#scores)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any

import numpy as np

from tablert_dist.errors import counted
from tablert_dist.schema import Schema, Sentence
from tablert_dist.tags import Ints

Item = tuple[Hashable, ...]
"""What is compared; its first member is the type that it counts under."""


@dataclass(frozen=True)
class Level:
    """One way to compare predictions with gold. A new one is added to `SPECS` and nowhere else."""

    name: str
    """In metric keys: `dev/NAME_f1`."""
    title: str
    types: Callable[[Schema], Sequence[str]]
    """The types that are counted apart."""
    items: Callable[[Sentence, Schema], set[Item]]
    """What a sentence holds at this level."""


def _entities(sentence: Sentence, schema: Schema) -> set[Item]:
    return {(e.type, e.start, e.end) for e in sentence.entities}


def _relations(sentence: Sentence, schema: Schema, typed: bool) -> set[Item]:
    found: set[Item] = set()
    for relation in sentence.relations:
        ends = [(e.start, e.end, e.type if typed else "") for e in (relation.head, relation.tail)]
        found.add((relation.type, *(sorted(ends) if relation.type in schema.symmetric else ends)))
    return found


SPECS = (
    Level("ner", "NER", lambda schema: schema.entity_types, _entities),
    Level("re", "RE", lambda schema: schema.relation_types, partial(_relations, typed=False)),
    Level("re_plus", "RE+", lambda schema: schema.relation_types, partial(_relations, typed=True)),
)
LEVELS = tuple(level.name for level in SPECS)
TITLES = {level.name: level.title for level in SPECS}


@dataclass(frozen=True)
class Counts:
    """True positives, false positives, false negatives. Counts of one schema add up.

    `table` [level and type, 3] is what workers sum; read it by `of`.
    """

    schema: Schema
    table: Ints

    @staticmethod
    def zero(schema: Schema) -> Counts:
        """Nothing counted yet."""
        return Counts(schema, np.zeros((len(_rows(schema)), 3), np.int64))

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.schema, self.table + other.table)

    def of(self, level: str) -> Ints:
        """[types of the level, 3], in the schema's order. Raises KeyError for a level that there is not."""
        if level not in LEVELS:
            raise KeyError(f"no score level '{level}'; there are {', '.join(LEVELS)}")
        return self.table[[i for i, (name, _) in enumerate(_rows(self.schema)) if name == level]]

    def scores(self) -> Scores:
        """The ratios of what was counted."""
        levels = {}
        for spec in SPECS:
            rows = self.of(spec.name)
            by_type = {kind: _ratio(row) for kind, row in zip(spec.types(self.schema), rows, strict=True) if row.any()}
            levels[spec.name] = LevelScores(_ratio(rows.sum(0)), _mean(list(by_type.values())), by_type)
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
    """By the levels' names."""

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


def best_row(history: Sequence[Mapping[str, float]]) -> Mapping[str, float] | None:
    """The epoch's metrics with the best dev RE+. Ties are broken by NER F1, then by the earlier epoch.

    None where dev was not scored.
    """
    scored = [row for row in history if "dev/re_plus_f1" in row]
    return max(scored, key=lambda row: (row["dev/re_plus_f1"], row["dev/ner_f1"], -row["epoch"]), default=None)


def best_epoch(history: Sequence[Mapping[str, float]]) -> int | None:
    """The epoch of `best_row`, counted from 1; None where dev was not scored."""
    best = best_row(history)
    return None if best is None else int(best["epoch"])


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
    left_out: int = 0
    """Records of the split that could not be read, and so are not scored."""
    windowed: int = 0
    """Its sentences over the encoder's limit, which were read by windows."""
    chosen_from: int = 0
    """Trials of a search that the model was chosen from by its score on dev."""
    decoding: str = ""
    """How the head's outputs became entities and relations, where it is on record."""
    precision: str = ""
    """Of the arithmetic while scoring, where it is on record."""

    def to_json(self) -> dict[str, Any]:
        """Every field, without those that are 0 or empty by default."""
        empty = {field.name: field.default for field in fields(self)}
        return {key: value for key, value in asdict(self).items() if value or value != empty[key]}

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> Protocol:
        """The protocol that `to_json` wrote; what another version has added is left out."""
        known = {field.name: tree[field.name] for field in fields(cls) if field.name in tree}
        return cls(**{**known, "seeds": tuple(known["seeds"])})

    def __str__(self) -> str:
        return (
            f"{self.dataset} ({self.data_hash[:8]}), trained on {self.trained_on}, scored on {self.scored_on}, "
            f"{self.averaging}, {self.encoder}, {counted(self.epochs, 'epoch')}, {self.selection}, overlap {self.overlap}, "
            f"seeds {', '.join(map(str, self.seeds))}"
            + (f", {counted(self.left_out, 'record')} that could not be read left out" if self.left_out else "")
            + (f", {counted(self.windowed, 'sentence')} read by windows" if self.windowed else "")
            + (f", chosen from {counted(self.chosen_from, 'trial')} on dev" if self.chosen_from else "")
            + (f", decoded by {self.decoding}" if self.decoding else "")
            + (f", in {self.precision}" if self.precision else "")
        )


def count(pairs: Iterable[tuple[Sentence, Sentence]], schema: Schema) -> Counts:
    """Compare (gold, predicted) sentences; duplicates count once, symmetric relations match in either order."""
    total = Counts.zero(schema)
    rows = {row: i for i, row in enumerate(_rows(schema))}
    for gold, predicted in pairs:
        for spec in SPECS:
            expected, found = (spec.items(s, schema) for s in (gold, predicted))
            for column, items in enumerate((expected & found, found - expected, expected - found)):
                for item in items:
                    total.table[rows[spec.name, str(item[0])], column] += 1
    return total


def _rows(schema: Schema) -> list[tuple[str, str]]:
    return [(spec.name, kind) for spec in SPECS for kind in spec.types(schema)]


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
