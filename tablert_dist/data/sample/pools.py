"""The names that fill the sample corpus's slots: which of them training may use, and which are kept for dev and test."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tablert_dist.data.sample import names

HELD_OUT_SHARE = 0.3  # of the names of each type, kept out of the training split
UNSEEN_RATE = 0.35  # chance that a dev/test slot is filled with a held-out name
PERSON_POOL = 600
COMPOSED = 400  # names of each type but Person that are put together


@dataclass
class NamePools:
    """Names per entity type: those training may use, and those kept for dev and test."""

    common: dict[str, list[str]] = field(default_factory=dict)
    held_out: dict[str, list[str]] = field(default_factory=dict)


def make_people(rng: random.Random) -> list[str]:
    """Combine given names and surnames into people of one to three words."""
    people = dict.fromkeys(names.MONONYMS)
    while len(people) < PERSON_POOL:
        given = rng.choice(names.GIVEN + names.MORE_GIVEN)
        surname = rng.choice(names.SURNAMES + names.MORE_SURNAMES)
        middle = ""
        if " " not in surname and rng.random() < 0.25:
            middle = rng.choice("ABDEHJKLMRT") + ". "
        people[f"{given} {middle}{surname}"] = None
    return list(people)


def compose(rng: random.Random, count: int) -> dict[str, list[str]]:
    """`count` names of each type but Person, made of two parts: no reader can know them beforehand."""
    made: dict[str, dict[str, None]] = {kind: {} for kind in ("Organization", "Place", "Product")}
    while min(len(found) for found in made.values()) < count:
        town = rng.choice(names.PLACE_STEMS) + rng.choice(names.PLACE_ENDINGS)
        first = f"{rng.choice(names.PLACE_FIRSTS)} " if rng.random() < 0.2 else ""
        made["Place"][first + town] = None
        stem = rng.choice([town, rng.choice(names.SURNAMES), rng.choice(names.PRODUCT_STEMS)])
        made["Organization"][f"{stem} {rng.choice(names.ORGANIZATION_KINDS)}"] = None
        numbered = f"{rng.choice(names.PRODUCT_STEMS)} {rng.choice(names.PRODUCT_ENDINGS)}"
        coined = rng.choice(names.PRODUCT_ROOTS) + rng.choice(names.PRODUCT_COINS)
        made["Product"][coined if rng.random() < 0.35 else numbered] = None
    return {kind: list(found)[:count] for kind, found in made.items()}


def make_pools(rng: random.Random) -> NamePools:
    """Divide each type's names; a form shared between types is never held out."""
    made = compose(rng, COMPOSED)
    by_type: dict[str, Sequence[str]] = {
        "Person": make_people(rng),
        "Organization": [*names.ORGANIZATIONS, *made["Organization"]],
        "Place": [*names.PLACES, *made["Place"]],
        "Product": [*names.PRODUCTS, *made["Product"]],
    }
    uses = Counter(name for pool in by_type.values() for name in pool)
    pools = NamePools()
    for kind, pool in by_type.items():
        free = [name for name in pool if uses[name] == 1]
        rng.shuffle(free)
        held_out = free[: round(HELD_OUT_SHARE * len(pool))]
        pools.held_out[kind] = held_out
        pools.common[kind] = [name for name in pool if name not in set(held_out)]
    return pools


def draw_name(rng: random.Random, pools: NamePools, kind: str, evaluation: bool) -> str:
    """Draw one name, sometimes a held-out one when the sentence is for evaluation."""
    unseen = evaluation and rng.random() < UNSEEN_RATE
    return rng.choice((pools.held_out if unseen else pools.common)[kind])


def seen_only(pools: NamePools, train: Sequence[dict[str, Any]]) -> NamePools:
    """Narrow the common names to those that the training split did use, where it used any."""
    seen: dict[str, set[str]] = {kind: set() for kind in pools.common}
    for record in train:
        for entity in record["entities"]:
            words = record["tokens"][entity["start"] : entity["end"]]
            seen[entity["type"]].add(" ".join(words))
    common = {kind: [name for name in pool if name in seen[kind]] for kind, pool in pools.common.items()}
    return NamePools(common, pools.held_out)
