"""Who goes into which part: groups that must not be torn apart, stratified by relation type; and nested samples.

Axes: G groups, L labels (the relation types), P parts.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from tablert_dist.errors import InputError, counted
from tablert_dist.schema import Sentence

By = Literal["document", "sentence"]


def groups_of(sentences: Sequence[Sentence], by: By = "document") -> list[list[int]]:
    """Indices that stay together: equal sentences always, with `document` also those of one document.

    A sentence that names no document is its own. Groups are in the order of their first sentence.
    """
    parent = list(range(len(sentences)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[object, int] = {}
    for i, sentence in enumerate(sentences):
        keys: list[object] = [sentence.words]
        if by == "document" and sentence.document is not None:
            keys.append(sentence.document)
        for key in keys:
            a, b = root(first.setdefault(key, i)), root(i)
            parent[max(a, b)] = min(a, b)
    found: dict[int, list[int]] = {}
    for i in range(len(sentences)):
        found.setdefault(root(i), []).append(i)
    return list(found.values())


def partition(
    sentences: Sequence[Sentence], shares: Mapping[str, float], seed: int, by: By = "document"
) -> dict[str, list[int]]:
    """Indices of each part, in the order of `sentences`; sizes and relation types as near to the shares as groups allow.

    Groups are dealt out as in iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011), those with the rarest
    type that is left first, each to the part whose shares of all its types and of the sentences, taken together, it
    mends most. Raises InputError where a part would stay empty.
    """
    groups = groups_of(sentences, by)
    if len(groups) < len(shares):
        raise InputError(
            f"{len(groups)} groups of sentences that belong together cannot make {len(shares)} parts"
            + ("; try --by sentence" if by == "document" else "")
        )
    draw = random.Random(seed)
    draw.shuffle(groups)
    labels = [
        Counter({**Counter(r.type for i in group for r in sentences[i].relations), SIZE: len(group)})
        for group in groups
    ]
    parts = _deal(labels, shares, draw)
    for name, members in parts.items():
        if not members:
            raise InputError(
                f"the part '{name}' ({shares[name]:g}) would be empty: give it a larger share, or more data"
            )
    return {name: sorted(i for g in members for i in groups[g]) for name, members in parts.items()}


SIZE = ""
"""Among the labels: a group's number of sentences, which is to be shared out like a type."""


def _deal(labels_G: Sequence[Counter[str]], shares: Mapping[str, float], draw: random.Random) -> dict[str, list[int]]:
    """The indices of the groups in each part."""
    total: Counter[str] = sum(labels_G, Counter())
    filled = {name: dict.fromkeys(total, 0) for name in shares}
    parts: dict[str, list[int]] = {name: [] for name in shares}
    left = set(range(len(labels_G)))

    def cost(name: str, g: int) -> float:
        """How much further the part is from its share of all labels with the group than without."""
        worse = 0.0
        for label, n in labels_G[g].items():
            target = shares[name] * total[label]
            worse += n / total[label] * (2 * (filled[name][label] / target - 1) + n / target)
        return worse

    def put(g: int) -> None:
        costs = {name: cost(name, g) for name in shares}
        best = min(costs.values())
        name = draw.choice([name for name in shares if costs[name] <= best + 1e-12])
        parts[name].append(g)
        for label, n in labels_G[g].items():
            filled[name][label] += n
        left.remove(g)

    while left:
        remaining: Counter[str] = sum((labels_G[g] for g in sorted(left)), Counter())
        rarest = min(remaining, key=lambda label: (label == SIZE, remaining[label], label))
        # Large groups first: the small ones even out what those leave.
        for g in sorted((g for g in left if labels_G[g][rarest]), key=lambda g: (-labels_G[g].total(), g)):
            put(g)
    return parts


def folds(
    sentences: Sequence[Sentence], count: int, seed: int, by: By = "document"
) -> list[tuple[list[int], list[int]]]:
    """(train, test) indices of each of `count` folds; every sentence is in exactly one test. Raises InputError."""
    if count < 2:
        raise InputError(f"--folds {count}: a cross-validation has at least 2 folds")
    parts = list(partition(sentences, {str(f): 1 / count for f in range(count)}, seed, by).values())
    everything = range(len(sentences))
    return [([i for i in everything if i not in set(test)], test) for test in map(sorted, parts)]


def nested_samples(total: int, sizes: Sequence[int], seed: int) -> list[list[int]]:
    """Indices of a sample of each size, ascending; a smaller sample is part of every larger one, whatever else is asked.

    Raises InputError for a size of 0 or above `total`.
    """
    for size in sizes:
        if not 1 <= size <= total:
            raise InputError(f"a sample of {size} cannot be drawn from {counted(total, 'sentence')}")
    order = list(range(total))
    random.Random(seed).shuffle(order)
    return [sorted(order[:size]) for size in sizes]
