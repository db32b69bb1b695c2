"""The most probable set of relations that keeps the rules: exact for few entities, greedy for many.

Every rule says that of some candidates at most one may stand: each such rule is a key, and no two chosen candidates share
one. What is maximised is the sum of the candidates' log odds against no relation.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache

log = logging.getLogger(__name__)

EXACT_ENTITIES = 12
"""Entities that are tied together by rules, up to which the best set is searched for."""
MOST_STEPS = 20_000
"""Candidates that the search looks at, some 0.3 s; then the best set so far is taken. Only a model that predicts relations
nearly everywhere comes there."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A relation that the model finds more probable than none."""

    weight: float
    """Log odds against no relation, 0 or more."""
    keys: tuple[Hashable, ...]
    """Shared with the candidates that it cannot stand beside."""
    ends: tuple[int, int]
    """Places of its two entities."""
    first: bool = True
    """Whether the model finds it the most probable relation of its pair."""


def choose(candidates: Sequence[Candidate], exact_entities: int = EXACT_ENTITIES) -> list[int]:
    """Return the places of the chosen candidates, in order.

    Candidates without a common key do not touch each other, so each group that keys tie together is solved by itself:
    exactly where it has at most `exact_entities` entities, else greedily. The result is never worse than leaving out every
    candidate of `first` that shares a key with another one of `first`.
    """
    chosen: list[int] = []
    for group in _groups(candidates):
        if len(group) == 1:
            chosen += group
            continue
        kept = _greedy(candidates, group)
        if len({end for i in group for end in candidates[i].ends}) <= exact_entities:
            kept = _best(candidates, group, kept)
        chosen += kept
    return sorted(chosen)


def _groups(candidates: Sequence[Candidate]) -> list[list[int]]:
    """Places that keys tie together, directly or through others."""
    holder: dict[Hashable, int] = {}
    root = list(range(len(candidates)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for i, candidate in enumerate(candidates):
        for key in candidate.keys:
            root[find(i)] = find(holder.setdefault(key, i))
    groups: dict[int, list[int]] = {}
    for i in range(len(candidates)):
        groups.setdefault(find(i), []).append(i)
    return list(groups.values())


def _greedy(candidates: Sequence[Candidate], group: Sequence[int]) -> list[int]:
    """One after the other, the most probable first; other labels of a pair only where its first one could not stand."""
    taken: set[Hashable] = set()
    kept = []
    for i in sorted(group, key=lambda i: (not candidates[i].first, -candidates[i].weight)):
        if taken.isdisjoint(candidates[i].keys):
            taken.update(candidates[i].keys)
            kept.append(i)
    return kept


def _best(candidates: Sequence[Candidate], group: Sequence[int], kept: list[int]) -> list[int]:
    """The heaviest set by branch and bound, depth first, from the set `kept`."""
    most, steps = _weight(candidates, kept), 0
    # (what is still free, the heaviest first; the weight of what was chosen; what was chosen)
    open_: list[tuple[list[int], float, list[int]]] = [(sorted(group, key=lambda i: -candidates[i].weight), 0.0, [])]
    while open_:
        free, weight, chosen = open_.pop()
        if not free:
            if weight > most:
                most, kept = weight, chosen
            continue
        steps += len(free)
        if steps > MOST_STEPS:
            _say_once()
            break
        if weight + _bound(candidates, free) <= most:
            continue
        one, rest = free[0], free[1:]
        keys = candidates[one].keys
        beside = [i for i in rest if _apart(keys, candidates[i].keys)]
        # What shares no key with the others costs nothing: only without it can they be worth more.
        if len(beside) < len(rest):
            open_.append((rest, weight, chosen))
        open_.append((beside, weight + candidates[one].weight, [*chosen, one]))
    return kept


def _bound(candidates: Sequence[Candidate], free: Sequence[int]) -> float:
    """No set of these weighs more: each weight is paid by its keys, and a key that has paid pays for all of its candidates."""
    shared = Counter(key for i in free for key in candidates[i].keys)
    paid: dict[Hashable, float] = {}
    total = 0.0
    for i in free:
        keys = candidates[i].keys
        missing = candidates[i].weight - sum(paid.get(key, 0.0) for key in keys)
        if missing > 0:
            total += missing
            if keys:
                payer = max(keys, key=shared.__getitem__)
                paid[payer] = paid.get(payer, 0.0) + missing
    return total


def _apart(some: tuple[Hashable, ...], others: tuple[Hashable, ...]) -> bool:
    return not any(key in others for key in some)


def _weight(candidates: Sequence[Candidate], chosen: Sequence[int]) -> float:
    return sum(candidates[i].weight for i in chosen)


@cache
def _say_once() -> None:
    log.warning(
        "a sentence has so many relations that exclude each other that the search for the best set was ended after %d steps; "
        "the best one found by then keeps the rules. Is the model trained?",
        MOST_STEPS,
    )
