"""Sentences that occur twice: inside a split, across splits, nearly, and with other annotations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

from tablert_dist.data.validation.finding import Case, Finding, SplitPart, records, short
from tablert_dist.data.validation.near import near_pairs
from tablert_dist.errors import counted
from tablert_dist.schema import Relation, Sentence

Place = tuple[SplitPart, int, Sentence]


def find(case: Case) -> Iterator[Finding]:
    """Exact duplicates by split and pair of splits, contradictions, near duplicates across splits."""
    groups: dict[tuple[str, ...], list[Place]] = defaultdict(list)
    for place in records(case):
        groups[place[2].words].append(place)
    repeated = [places for places in groups.values() if len(places) > 1]
    yield from _inside(case, repeated)
    yield from _across(case, repeated)
    yield from _contradictions(repeated, case.schema.symmetric)
    yield from _near(case, groups)


def _inside(case: Case, repeated: list[list[Place]]) -> Iterator[Finding]:
    for part in case.parts:
        extra = [[p for p in places if p[0] is part] for places in repeated]
        extra = [places for places in extra if len(places) > 1]
        if extra:
            first, second = extra[0][:2]
            count = sum(len(places) - 1 for places in extra)
            yield Finding(
                "duplicate",
                "note",
                part.file,
                count,
                f"{counted(count, 'sentence')} {'is' if count == 1 else 'are'} a repetition of an earlier one",
                "they count twice in training and in scores; leave one of each if that is not meant",
                f"{short(second[2].words)} is also record {first[1]}",
                second[1],
            )


def _across(case: Case, repeated: list[list[Place]]) -> Iterator[Finding]:
    for one, other in combinations(case.parts, 2):
        shared = [(_first(places, one), _first(places, other)) for places in repeated]
        pairs = [(a, b) for a, b in shared if a and b]
        if pairs:
            a, b = min(pairs, key=lambda pair: pair[1][1])
            count = len(pairs)
            yield Finding(
                "leak",
                "warning",
                other.file,
                count,
                f"{counted(count, 'sentence')} of {other.split} {'is' if count == 1 else 'are'} also in {one.split} "
                f"({one.file})",
                f"scores on {other.split} are flattered; split again: `tablert data split` keeps equal sentences together",
                f"{short(b[2].words)} is record {a[1]} of {one.file}",
                b[1],
            )


def _first(places: list[Place], part: SplitPart) -> Place | None:
    return next((p for p in places if p[0] is part), None)


def _contradictions(repeated: list[list[Place]], symmetric: frozenset[str]) -> Iterator[Finding]:
    by_part: dict[int, list[tuple[Place, Place]]] = defaultdict(list)
    parts: dict[int, SplitPart] = {}
    for places in repeated:
        first = places[0]
        for place in places[1:]:
            if _annotation(place[2], symmetric) != _annotation(first[2], symmetric):
                by_part[id(place[0])].append((first, place))
                parts[id(place[0])] = place[0]
    for key, pairs in by_part.items():
        a, b = pairs[0]
        count = len(pairs)
        yield Finding(
            "contradiction",
            "warning",
            parts[key].file,
            count,
            f"{counted(count, 'sentence')} {'has' if count == 1 else 'have'} the words of an earlier one and another "
            "annotation",
            "decide which annotation is right; the model is taught both",
            f"{short(b[2].words)}: {_difference(b[2], a[2], symmetric)} (record {a[1]} of {a[0].file})",
            b[1],
        )


def _annotation(sentence: Sentence, symmetric: frozenset[str]) -> tuple[frozenset[object], frozenset[object]]:
    return frozenset(sentence.entities), frozenset(_undirected(r, symmetric) for r in sentence.relations)


def _undirected(relation: Relation, symmetric: frozenset[str]) -> Relation:
    """The relation; of a symmetric type with its arguments in order."""
    if relation.type not in symmetric or relation.head <= relation.tail:
        return relation
    return replace(relation, head=relation.tail, tail=relation.head)


def _difference(here: Sentence, there: Sentence, symmetric: frozenset[str]) -> str:
    """The first item that only one of the two has."""
    for one, other, where in ((here, there, "only here"), (there, here, "only there")):
        for entity in one.entities:
            if entity not in other.entities:
                return f"{entity.type} {short([one.text_of(entity)], 30)} is {where}"
        known = _annotation(other, symmetric)[1]
        for relation in one.relations:
            if _undirected(relation, symmetric) not in known:
                head, tail = (short([one.text_of(e)], 24) for e in (relation.head, relation.tail))
                return f"{relation.type}({head}, {tail}) is {where}"
    return "they differ"


def _near(case: Case, groups: dict[tuple[str, ...], list[Place]]) -> Iterator[Finding]:
    distinct = list(groups)
    found: dict[tuple[str, str], list[tuple[float, Place, Place]]] = defaultdict(list)
    for i, j, likeness in near_pairs(distinct):
        for one, other in combinations(case.parts, 2):
            for x, y in ((i, j), (j, i)):
                a, b = _first(groups[distinct[x]], one), _first(groups[distinct[y]], other)
                if a and b:
                    found[one.split, other.split].append((likeness, a, b))
    for (split, _), pairs in found.items():
        likeness, a, b = max(pairs, key=lambda pair: pair[0])
        count = len({p[2][2].words for p in pairs})
        yield Finding(
            "near-leak",
            "warning",
            b[0].file,
            count,
            f"{counted(count, 'sentence')} of {b[0].split} {'is' if count == 1 else 'are'} nearly one of {split} "
            f"({a[0].file}): at least 80 % of their word pairs are the same",
            "look whether they are versions of one text; then leave one out, or give them one `document` and split again: "
            "`tablert data split` keeps a document together",
            f"{short(b[2].words)} and record {a[1]}, {short(a[2].words)}: {100 * likeness:.0f} % alike",
            b[1],
        )
