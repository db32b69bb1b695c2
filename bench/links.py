"""What a step of DDP costs on links of given speeds: two formulas for the all-reduce, and a simulation of whole steps.

Line rates and no congestion: the scaling that comes out is an upper bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BUCKET_BYTES = 25 * 2**20
"""DDP's own `bucket_cap_mb`; its first bucket has 1 MiB."""
FIRST_BUCKET_BYTES = 2**20


@dataclass(frozen=True)
class Links:
    """Bytes a second in one direction, and seconds a message takes to arrive."""

    network: float
    """Of one node to the others, shared by its GPUs."""
    inside: float
    """Of one GPU to the others of its node."""
    gpus: int
    """In a node."""
    network_latency: float = 0.0
    inside_latency: float = 0.0


@dataclass(frozen=True)
class Step:
    """One worker's step on its full share, in seconds; `jitter` is the deviation of its time's logarithm."""

    forward: float
    backward: float
    update: float
    jitter: float = 0.0

    @property
    def seconds(self) -> float:
        """All three."""
        return self.forward + self.backward + self.update


def ring(workers: int, size: float, bandwidth: float, latency: float = 0.0) -> float:
    """Seconds of a ring all-reduce: each worker sends and receives 2(n−1)/n of the bytes in 2(n−1) messages."""
    return 2 * (workers - 1) / workers * size / bandwidth + 2 * (workers - 1) * latency


def flat(workers: int, size: float, links: Links) -> float:
    """One ring through all workers; each node's network link is crossed once in each direction."""
    if workers <= links.gpus:
        return ring(workers, size, links.inside, links.inside_latency)
    slowest = min(links.network, links.inside)
    return ring(workers, size, slowest, max(links.network_latency, links.inside_latency))


def hierarchical(workers: int, size: float, links: Links) -> float:
    """Reduce-scatter inside each node, a ring between nodes for each GPU's part, all-gather inside each node.

    The parts of a node's GPUs share its network link, so together they take what one ring over all bytes takes.
    """
    inside = min(workers, links.gpus)
    nodes = -(-workers // links.gpus)
    local = ring(inside, size, links.inside, links.inside_latency)
    return local + ring(nodes, size, links.network, links.network_latency)


def all_reduce(workers: int, size: float, links: Links) -> float:
    """The quicker of the two."""
    return min(flat(workers, size, links), hierarchical(workers, size, links)) if size else 0.0


def buckets(size: float) -> NDArray[np.float64]:
    """Bytes of each bucket, in the order in which the backward pass fills them."""
    first = min(size, FIRST_BUCKET_BYTES)
    whole, rest = divmod(size - first, BUCKET_BYTES)
    return np.array([first, *[BUCKET_BYTES] * int(whole), *([rest] if rest else [])], dtype=np.float64)


def simulate(
    step: Step,
    shares: Sequence[NDArray[np.float64]],
    dense: float,
    rows: float,
    links: Links,
    seed: int = 0,
    overlap: bool = True,
) -> float:
    """Seconds of a step, mean over the steps of `shares`, each the workers' parts of a full share of sentences.

    Every worker's forward and backward take as long as its share, with a lognormal factor of mean 1 for the rest. A
    bucket is reduced when the slowest worker has filled it and the bucket before is through; the rows of the word
    embeddings follow the last one, as in parallel.py; then each worker updates and goes on.
    """
    generator = np.random.default_rng(seed)
    workers = len(shares[0])
    sizes = buckets(dense)
    filled = np.cumsum(sizes) / dense if overlap else np.ones_like(sizes)
    costs = [all_reduce(workers, size, links) for size in sizes]
    rows_cost = all_reduce(workers, rows, links)
    free = np.zeros(workers)
    for share in shares:
        factor = generator.lognormal(-(step.jitter**2) / 2, step.jitter, (2, workers))
        begun = free + step.forward * share * factor[0]
        backward = step.backward * share * factor[0]
        through = 0.0
        for part, cost in zip(filled, costs, strict=True):
            through = max(through, float(np.max(begun + part * backward))) + cost
        through = max(through, float(np.max(begun + backward))) + rows_cost
        free = through + step.update * factor[1]
    return float(np.mean(free)) / len(shares)
