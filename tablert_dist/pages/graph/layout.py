"""Where the nodes of a drawn graph lie: forces between them (Fruchterman and Reingold 1991), the same for the same graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STEPS = 200
REACH = 4.0
"""How far nodes push each other, in lengths of an edge: farther, and parts that nothing joins drive each other away."""
LOOSE = 3.0
"""How weakly an edge pulls."""
GRAVITY = 0.05
"""Of the middle: it keeps such parts on the page."""
GOLDEN = np.pi * (3 - 5**0.5)


def places(count: int, edges: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """Positions [count, 2] in 0–1; `edges` join nodes by number. O(count²) a step.

    Nodes that are near push each other away, edges pull their ends together; the first nodes start in the middle.
    """
    if not count:
        return np.zeros((0, 2))
    number = np.arange(count)
    radius, angle = np.sqrt((number + 0.5) / count), number * GOLDEN
    at = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    apart = np.sqrt(np.pi / count)
    ends = np.array([pair for pair in dict.fromkeys(map(_sorted, edges)) if pair[0] != pair[1]], int).reshape(-1, 2)
    for step in range(STEPS):
        way = at[:, None] - at[None]
        square = np.maximum((way**2).sum(-1), 1e-9)
        push = np.where(square < (REACH * apart) ** 2, apart**2 / square, 0.0)
        move = (way * push[..., None]).sum(1)
        pull = at[ends[:, 0]] - at[ends[:, 1]]
        pull *= np.linalg.norm(pull, axis=-1, keepdims=True) / (LOOSE * apart)
        np.subtract.at(move, ends[:, 0], pull)
        np.add.at(move, ends[:, 1], pull)
        move -= GRAVITY * at
        length = np.maximum(np.linalg.norm(move, axis=-1, keepdims=True), 1e-9)
        at += move / length * np.minimum(length, 0.1 * (1 - step / STEPS))
    at -= at.min(0)
    unit: NDArray[np.float64] = at / np.maximum(at.max(0), 1e-9)
    return unit


def _sorted(pair: tuple[int, int]) -> tuple[int, int]:
    return min(pair), max(pair)
