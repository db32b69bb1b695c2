"""Predictions against gold, error by error. Spans are in words; shares and F1 in 0–1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tablert_dist.analysis.calibration import Threshold, threshold_for
from tablert_dist.analysis.constrained import Checked
from tablert_dist.analysis.judged import Pair, Reliability, judged_relations, reliability, typed_key
from tablert_dist.heads.temperatures import Measured
from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tablert_dist.scoring import LEVELS, Counts, Scores, count

NOTHING = "–"
"""In a confusion: gold that nothing was predicted for, or a prediction without gold."""
LENGTHS = (10, 20, 30, 40, 60)
DISTANCES = (2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Group:
    """Scores of the sentences, or of the relations, within some limits."""

    name: str
    sentences: int
    support: int
    """Gold relations."""
    f1: dict[str, float]
    """By level."""


@dataclass(frozen=True)
class Wrong:
    """A sentence with its errors at NER and RE+."""

    index: int
    errors: int
    gold: Sentence
    found: Sentence


@dataclass(frozen=True)
class ErrorReport:
    """What `examine` finds."""

    sentences: int
    scores: Scores
    entity_confusion: dict[tuple[str, str], int]
    """(gold type, predicted type) of equal spans; NOTHING on a side that has none of that span."""
    relation_confusion: dict[tuple[str, str], int]
    """The same for directed pairs of spans."""
    boundaries: dict[str, int]
    """Why gold entities are missed and predictions wrong."""
    by_length: tuple[Group, ...]
    by_distance: tuple[Group, ...]
    worst: tuple[Wrong, ...]
    reliability: Reliability
    before: Measured | None
    """The calibration errors without the model's temperatures, where it has some."""
    thresholds: tuple[Threshold, ...]
    constraints: Checked | None
    """Triples that break the model's rules; None where it has none."""

    def to_json(self) -> dict[str, Any]:
        """Everything but the sentences, as JSON has it."""

        def matrix(confusion: dict[tuple[str, str], int]) -> list[dict[str, Any]]:
            return [{"gold": g, "predicted": p, "count": n} for (g, p), n in sorted(confusion.items())]

        return {
            "sentences": self.sentences,
            "scores": self.scores.to_json(),
            "entity_confusion": matrix(self.entity_confusion),
            "relation_confusion": matrix(self.relation_confusion),
            "boundaries": self.boundaries,
            "by_length": [asdict(group) for group in self.by_length],
            "by_distance": [asdict(group) for group in self.by_distance],
            "worst": [{"sentence": w.index, "errors": w.errors} for w in self.worst],
            "calibration": {
                **asdict(self.reliability),
                "before": self.before and self.before.model_dump(),
            },
            "thresholds": [asdict(threshold) for threshold in self.thresholds],
            "constraints": self.constraints and self.constraints.model_dump(),
        }


def examine(
    gold: Sequence[Sentence],
    found: Sequence[Sentence],
    schema: Schema,
    wanted_precision: float = 0.9,
    worst: int = 20,
    before: Measured | None = None,
    constraints: Checked | None = None,
) -> ErrorReport:
    """Compare predictions with gold, sentence by sentence, in their order. `before`, `constraints`: as in `ErrorReport`."""
    pairs = list(zip(gold, found, strict=True))
    tables = [count([pair], schema) for pair in pairs]
    total = sum(tables, Counts.zero(schema))
    return ErrorReport(
        len(pairs),
        total.scores(),
        _confusion(pairs, _entity_items),
        _confusion(pairs, lambda s: _relation_items(s, schema)),
        _boundaries(pairs),
        _by_length(pairs, tables, schema),
        _by_distance(pairs, schema),
        _worst(pairs, tables, worst),
        reliability(pairs, schema),
        before,
        tuple(_threshold(pairs, schema, kind, wanted_precision) for kind in schema.relation_types),
        constraints,
    )


def _entity_items(sentence: Sentence) -> dict[Any, str]:
    return {(e.start, e.end): e.type for e in sentence.entities}


def _relation_items(sentence: Sentence, schema: Schema) -> dict[Any, str]:
    return {_span_key(r, schema): r.type for r in sentence.relations}


def _span_key(relation: Relation, schema: Schema) -> tuple[Any, ...]:
    ends = [(e.start, e.end) for e in (relation.head, relation.tail)]
    return tuple(sorted(ends) if relation.type in schema.symmetric else ends)


def _confusion(pairs: Sequence[Pair], items: Callable[[Sentence], dict[Any, str]]) -> dict[tuple[str, str], int]:
    found: Counter[tuple[str, str]] = Counter()
    for gold, predicted in pairs:
        expected, said = items(gold), items(predicted)
        for key in expected.keys() | said.keys():
            found[expected.get(key, NOTHING), said.get(key, NOTHING)] += 1
    return dict(found)


def _boundaries(pairs: Sequence[Pair]) -> dict[str, int]:
    """Each wrong prediction and each missed entity once, by the nearest it has on the other side."""
    names = {"type": "right span, wrong type", "span": "right type, other borders", "both": "overlaps, all else wrong"}
    found = Counter({f"{side}: {name}": 0 for side in ("missed", "spurious") for name in (*names.values(), "alone")})
    for gold, predicted in pairs:
        for side, mine, theirs in (("missed", gold, predicted), ("spurious", predicted, gold)):
            others = set(theirs.entities)
            for entity in set(mine.entities) - others:
                touching = [o for o in others if o.start < entity.end and entity.start < o.end]
                if any((o.start, o.end) == (entity.start, entity.end) for o in touching):
                    reason = names["type"]
                elif any(o.type == entity.type for o in touching):
                    reason = names["span"]
                else:
                    reason = names["both"] if touching else "alone"
                found[f"{side}: {reason}"] += 1
    return dict(found)


def _limits(cuts: Sequence[int]) -> list[tuple[int, float, str]]:
    """(lowest, highest, name) of the groups that the cuts make."""
    ends: list[float] = [*cuts, float("inf")]
    starts = [1, *(cut + 1 for cut in cuts)]
    return [(a, b, f"{a}–{int(b)}" if b < float("inf") else f"{a} and more") for a, b in zip(starts, ends, strict=True)]


def _by_length(pairs: Sequence[Pair], tables: Sequence[Counts], schema: Schema) -> tuple[Group, ...]:
    groups = []
    for low, high, name in _limits(LENGTHS):
        inside = [i for i, (gold, _) in enumerate(pairs) if low <= len(gold.words) <= high]
        if inside:
            scores = sum((tables[i] for i in inside), Counts.zero(schema)).scores()
            support = scores.levels["re_plus"].micro.support
            groups.append(Group(f"{name} words", len(inside), support, {level: scores.f1(level) for level in LEVELS}))
    return tuple(groups)


def distance(first: Entity, second: Entity) -> int:
    """Words from the last of the earlier entity to the first of the later one; at least 1."""
    return max(1, max(first.start, second.start) - min(first.end, second.end) + 1)


def _by_distance(pairs: Sequence[Pair], schema: Schema) -> tuple[Group, ...]:
    groups = []
    for low, high, name in _limits(DISTANCES):

        def near(sentence: Sentence, low: int = low, high: float = high) -> Sentence:
            kept = tuple(r for r in sentence.relations if low <= distance(r.head, r.tail) <= high)
            return Sentence(sentence.words, sentence.entities, kept)

        cut = [(near(gold), near(found)) for gold, found in pairs]
        counts = count(cut, schema)
        scores = counts.scores()
        there = sum(bool(g.relations or f.relations) for g, f in cut)
        if there:
            f1 = {level: scores.f1(level) for level in LEVELS if level != "ner"}
            groups.append(Group(f"{name} words apart", there, scores.levels["re_plus"].micro.support, f1))
    return tuple(groups)


def _worst(pairs: Sequence[Pair], tables: Sequence[Counts], most: int) -> tuple[Wrong, ...]:
    wrong = []
    for i, ((gold, found), counts) in enumerate(zip(pairs, tables, strict=True)):
        # RE is RE+ without types: an error there would count twice.
        errors = sum(int(counts.of(level)[:, 1:].sum()) for level in ("ner", "re_plus"))
        if errors:
            wrong.append(Wrong(i, errors, gold, found))
    return tuple(sorted(wrong, key=lambda w: (-w.errors, w.index))[:most])


def _threshold(pairs: Sequence[Pair], schema: Schema, kind: str, wanted: float) -> Threshold:
    judged = [one for one in judged_relations(pairs, schema) if one.type == kind]
    gold = len({(i, typed_key(r, schema)) for i, (g, _) in enumerate(pairs) for r in g.relations if r.type == kind})
    return threshold_for(kind, [one.probability for one in judged], [one.right for one in judged], gold, wanted)
