"""Hints of label noise: a name that is nearly always one type, and once another; or annotated nearly everywhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tablert_dist.data.validation.finding import Case, Finding, SplitPart, records, short
from tablert_dist.errors import counted
from tablert_dist.schema import Sentence

LEAST = 5
"""Occurrences of a name that make it a habit."""
HABIT = 0.8
"""Share of them that are alike."""
Name = tuple[str, ...]
Place = tuple[SplitPart, int, str]


def find(case: Case) -> Iterator[Finding]:
    """Names of an unusual type, and names left without annotation, over all splits."""
    types: dict[Name, Counter[str]] = defaultdict(Counter)
    places: dict[tuple[Name, str], Place] = {}
    for part, index, sentence in records(case):
        for entity in set(sentence.entities):
            name = _name(sentence, entity.start, entity.end)
            types[name][entity.type] += 1
            places.setdefault((name, entity.type), (part, index, short([sentence.text_of(entity)])))
    yield from _unusual(types, places)
    yield from _left_out(case, types)


def _name(sentence: Sentence, start: int, end: int) -> Name:
    return tuple(sentence.words[start:end])


def _unusual(types: dict[Name, Counter[str]], places: dict[tuple[Name, str], Place]) -> Iterator[Finding]:
    odd = []
    for name, counts in types.items():
        usual, most = counts.most_common(1)[0]
        if counts.total() >= LEAST and most >= HABIT * counts.total():
            odd += [(name, kind, n, usual, most) for kind, n in counts.items() if kind != usual]
    if not odd:
        return
    name, kind, _, usual, most = max(odd, key=lambda o: o[4])
    part, index, shown = places[name, kind]
    total = sum(o[2] for o in odd)
    yield Finding(
        "odd-type",
        "note",
        part.file,
        total,
        f"{counted(total, 'entity', 'entities')} in the corpus {'has' if total == 1 else 'have'} another type than the same "
        "words nearly always have",
        "read them again: a slip, or another meaning",
        f"{shown} is {kind} here, {usual} {counted(most, 'time')}",
        index,
    )


def _left_out(case: Case, types: dict[Name, Counter[str]]) -> Iterator[Finding]:
    habits = {name: counts.total() for name, counts in types.items() if counts.total() >= LEAST}
    by_first: dict[str, list[Name]] = defaultdict(list)
    for name in habits:
        by_first[name[0]].append(name)
    bare: dict[Name, list[Place]] = defaultdict(list)
    for part, index, sentence in records(case):
        taken = {i for e in sentence.entities for i in range(e.start, e.end)}
        for i, word in enumerate(sentence.words):
            for name in by_first.get(word, ()):
                end = i + len(name)
                if sentence.words[i:end] == name and taken.isdisjoint(range(i, end)):
                    bare[name].append((part, index, short(name)))
    found = {n: where for n, where in bare.items() if habits[n] >= HABIT * (habits[n] + len(where))}
    if not found:
        return
    name = max(found, key=lambda n: habits[n])
    total = sum(map(len, found.values()))
    part, index, shown = found[name][0]
    yield Finding(
        "left-out",
        "note",
        part.file,
        total,
        f"{counted(total, 'time')} in the corpus the words of an entity that is nearly always annotated are not",
        "read them again: forgotten, or meant otherwise",
        f"{shown} is no entity here, and one {counted(habits[name], 'time')}",
        index,
    )
