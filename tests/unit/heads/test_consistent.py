"""The most probable consistent set: exact against brute force, greedy beyond, and an end to every search."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablert_dist.heads import consistent
from tablert_dist.heads.consistent import EXACT_ENTITIES, Candidate, choose


def problem(seed: int, entities: int, types: int, density: float) -> list[Candidate]:
    """Cells of two entities with several labels each; some types are functional, some inverse functional."""
    rng = random.Random(seed)
    rules = [(rng.random() < 0.7, rng.random() < 0.7) for _ in range(types)]
    found = []
    for cell in itertools.combinations(range(entities), 2):
        labels = [
            (head, tail, kind) for head, tail in (cell, cell[::-1]) for kind in range(types) if rng.random() < density
        ]
        weights = [rng.expovariate(0.5) for _ in labels]
        for (head, tail, kind), weight in zip(labels, weights, strict=True):
            keys: list[tuple[object, ...]] = [cell]
            if rules[kind][0]:
                keys.append((kind, "from", head))
            if rules[kind][1]:
                keys.append((kind, "to", tail))
            found.append(Candidate(weight, tuple(keys), (head, tail), weight == max(weights)))
    return found


def weight(candidates: Sequence[Candidate], chosen: Sequence[int]) -> float:
    return sum(candidates[i].weight for i in chosen)


def stands(candidates: Sequence[Candidate], chosen: Sequence[int]) -> bool:
    keys = [key for i in chosen for key in candidates[i].keys]
    return len(keys) == len(set(keys)) and list(chosen) == sorted(set(chosen))


def heaviest(candidates: Sequence[Candidate], taken: set[object]) -> float:
    """The weight of the best set: every one with and without the first candidate."""
    if not candidates:
        return 0.0
    one, rest = candidates[0], candidates[1:]
    without = heaviest(rest, taken)
    return max(without, one.weight + heaviest(rest, taken | set(one.keys))) if taken.isdisjoint(one.keys) else without


@given(seed=st.integers(0, 10**6), entities=st.integers(2, 5), types=st.integers(1, 3))
def test_few_entities_get_the_best_set_that_there_is(seed: int, entities: int, types: int) -> None:
    candidates = problem(seed, entities, types, 0.45)[:18]
    chosen = choose(candidates)
    assert stands(candidates, chosen) and weight(candidates, chosen) == pytest.approx(heaviest(candidates, set()))


@given(seed=st.integers(0, 10**6), entities=st.integers(2, 9), types=st.integers(1, 4))
def test_greedy_keeps_the_rules_and_loses_nothing_that_stood_alone(seed: int, entities: int, types: int) -> None:
    """It is never worse than leaving out all first labels that exclude each other, and never better than the best set."""
    candidates = problem(seed, entities, types, 0.3)
    greedy, exact = choose(candidates, exact_entities=0), choose(candidates)
    first = [i for i, one in enumerate(candidates) if one.first]
    alone = [i for i in first if all(j == i or set(candidates[i].keys).isdisjoint(candidates[j].keys) for j in first)]
    assert stands(candidates, greedy) and stands(candidates, exact)
    assert weight(candidates, alone) - 1e-9 <= weight(candidates, greedy) <= weight(candidates, exact) + 1e-9


def chain(links: int) -> list[Candidate]:
    """Each excludes its neighbours; the odd ones are heavier by a half."""
    return [Candidate(5.0 + i % 2 / 2, tuple(f"{j}–{j + 1}" for j in (i - 1, i)), (i, i + 1)) for i in range(links)]


def test_the_best_set_is_searched_for_up_to_twelve_entities_that_rules_tie_together() -> None:
    few, many = chain(EXACT_ENTITIES - 1), chain(EXACT_ENTITIES + 1)
    assert choose(few) == list(range(0, EXACT_ENTITIES - 1, 2)), "six of 5"
    assert choose(many) == [1, 3, 5, 7, 9, 11], "six of 5.5; seven of 5 would be more"
    # Entities of two groups are not counted together.
    twice = [
        *few,
        *(Candidate(c.weight, tuple(f"b{k}" for k in c.keys), (c.ends[0] + 50, c.ends[1] + 50)) for c in few),
    ]
    assert choose(twice) == [*choose(few), *(i + len(few) for i in choose(few))]


def test_another_label_of_a_pair_comes_in_where_its_first_cannot_stand() -> None:
    # Two tails of one head: the better one keeps it, the other pair falls back on its second label.
    candidates = [
        Candidate(4.0, ("ab", "works from a"), (0, 1)),
        Candidate(3.0, ("ac", "works from a"), (0, 2)),
        Candidate(1.0, ("ac", "near"), (0, 2), first=False),
    ]
    assert choose(candidates) == choose(candidates, exact_entities=0) == [0, 2]
    assert choose([]) == [] and choose(candidates[2:]) == [0]


def test_a_search_without_end_is_ended_and_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = problem(1, EXACT_ENTITIES, 4, 0.9)
    looked = [0]
    bound = consistent._bound

    def counted(candidates: Sequence[Candidate], free: Sequence[int]) -> float:
        looked[0] += len(free)
        return bound(candidates, free)

    monkeypatch.setattr(consistent, "_bound", counted)
    consistent._say_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        chosen = choose(candidates)
    assert "so many relations that exclude each other" in caplog.text
    assert 0 < looked[0] <= consistent.MOST_STEPS
    assert stands(candidates, chosen) and weight(candidates, chosen) >= weight(candidates, choose(candidates, 0))
