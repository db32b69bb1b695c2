"""What a training asks of a cluster, and what the cluster can hold."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tablert_dist.config import Config
from tablert_dist.errors import InputError

log = logging.getLogger(__name__)
MOST = 10_000
"""Trainings at once where an autoscaler knows no limit."""


@dataclass(frozen=True)
class ScalingPlan:
    """What one training asks for."""

    workers: int
    cpus: float
    gpus: float
    most: int | None = None
    """Workers that an elastic training grows to; `workers` is then the least that it runs with."""

    @property
    def a_card(self) -> int | None:
        """Workers that share a card; None where a worker has whole ones, or none."""
        return math.floor(1 / self.gpus + 1e-9) if 0 < self.gpus < 1 else None

    def __str__(self) -> str:
        share = f" ({self.a_card} to a card)" if self.a_card else ""
        gpus = f" and {self.gpus:g} GPU{share}" if self.gpus else ""
        return f"{self.workers}{f' to {self.most}' if self.most else ''} × {self.cpus:g} CPU{gpus}"


def scaling_plan(config: Config, resources: dict[str, float], trials: bool) -> ScalingPlan:
    """Workers and what each gets. CPUs unset: 1 for a trial of a search, an even share of the cluster for a training."""
    wanted = config.cluster.num_workers
    workers, most = (max(1, wanted), None) if isinstance(wanted, int) else wanted
    if trials and most:
        raise InputError(f"cluster.num_workers = [{workers}, {most}]: a trial of a search has a fixed number; give one")
    gpus = config.cluster.gpus_per_worker
    on_gpu = config.train.device in {"auto", "cuda"}
    if gpus is None:
        gpus = 1.0 if on_gpu and resources.get("GPU", 0) >= 1 else 0.0
    if 0 < gpus < 1 and (most or workers) > 1 and on_gpu:
        raise InputError(
            f"cluster.gpus_per_worker = {gpus:g} with {most or workers} workers: NCCL refuses two workers of one training on "
            f"one card; give each a whole one, or train with cluster.num_workers=1 and let several trials share a card"
        )
    cpus = config.cluster.cpus_per_worker
    if cpus is None:
        cpus = 1.0 if trials or gpus else max(1.0, resources.get("CPU", 1.0) // (most or workers))
    return ScalingPlan(workers, cpus, gpus, most)


@dataclass(frozen=True)
class Capacity:
    """The resources of each node that there is, and the kinds of node that an autoscaler may start."""

    nodes: Sequence[Mapping[str, float]]
    kinds: Sequence[tuple[Mapping[str, float], float]] = ()
    """Resources of one such node, and how many of them there may be at most (infinite: no limit)."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Of each resource, what the autoscaler lets the cluster have in all."""

    def total(self, name: str) -> float:
        """Of one resource, what the cluster has now."""
        return sum(node.get(name, 0.0) for node in self.nodes)

    def bundles(self, scaling: ScalingPlan) -> float:
        """Workers of this scaling that fit at once, each on one node, on the nodes there are or may be."""
        now = sum(_workers_on(node, scaling) for node in self.nodes)
        grown: float = sum(most * fit for node, most in self.kinds if (fit := _workers_on(node, scaling)))
        if "CPU" in self.limits:
            grown = min(grown, self.limits["CPU"] // scaling.cpus)
        if scaling.gpus and "GPU" in self.limits:
            grown = min(grown, _workers_on_cards(self.limits["GPU"], scaling))
        return max(now, grown)

    def __str__(self) -> str:
        largest = max([*self.nodes, *(node for node, _ in self.kinds)], key=_size, default={})
        several = f" on {len(self.nodes)} nodes" if len(self.nodes) > 1 else ""
        return f"{_said(self.total('CPU'), self.total('GPU'))}{several}, its largest node {_said(*_size(largest))}"


def capacity() -> Capacity:
    """What the connected cluster has, and may have where its autoscaler says so (of Ray's own two, the second does)."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    try:
        # No public call tells the autoscaler's limits; Ray Train itself asks this one (Ray 2.60). Delete when there is one.
        from ray._private.state import state

        known = state.get_cluster_config()
        kinds = [(dict(g.resources), math.inf if g.max_count < 0 else g.max_count) for g in known.node_group_configs]
        return Capacity(nodes, kinds, dict(known.max_resources))
    except Exception as error:  # whatever becomes of a private call, the nodes there are remain
        log.debug("the autoscaler's limits are not known: %s", error)
        return Capacity(nodes)


def room_for(scaling: ScalingPlan, there: Capacity, max_workers: int | None) -> int:
    """How many trainings of this scaling fit at once, in the cluster as it is or as its autoscaler may grow it.

    Raises InputError, with what is needed and what there is, where not even one does.
    """
    bundles = there.bundles(scaling)
    fits_a_node = bundles > 0 or not there.kinds
    if max_workers is not None and fits_a_node:
        bundles = max(bundles, max_workers)
    room = min(bundles, MOST) // scaling.workers
    if room < 1:
        limit = (
            f", and cluster.max_workers = {max_workers} is below it" if max_workers is not None and fits_a_node else ""
        )
        raise InputError(
            f"one training needs {scaling}, the cluster has {there}{limit}; a worker has to fit on one node: lower "
            f"cluster.num_workers or cluster.cpus_per_worker, or say with cluster.max_workers how far an autoscaler may "
            f"grow the cluster"
        )
    return int(room)


def shared_out(scaling: ScalingPlan, trials: int, there: Capacity) -> ScalingPlan:
    """The scaling with each worker's CPUs raised as far as `trials` such trainings still fit at once.

    For the last stage of a search, which has fewer trials than the cluster has CPUs.
    """
    most = max((int(node.get("CPU", 0.0)) for node in there.nodes), default=0)
    wider = (replace(scaling, cpus=float(cpus)) for cpus in range(most, int(scaling.cpus), -1))
    return next((plan for plan in wider if there.bundles(plan) >= trials * plan.workers), scaling)


def _workers_on(node: Mapping[str, float], scaling: ScalingPlan) -> int:
    by_gpu = _workers_on_cards(node.get("GPU", 0.0), scaling) if scaling.gpus else math.inf
    return math.floor(min(node.get("CPU", 0.0) / scaling.cpus, by_gpu) + 1e-9)


def _workers_on_cards(cards: float, scaling: ScalingPlan) -> int:
    """A share of a card lies on one: of two cards 0.4 each fits four times, not five."""
    return math.floor(cards) * scaling.a_card if scaling.a_card else math.floor(cards / scaling.gpus + 1e-9)


def _size(node: Mapping[str, float]) -> tuple[float, float]:
    return node.get("CPU", 0.0), node.get("GPU", 0.0)


def _said(cpus: float, gpus: float) -> str:
    return f"{cpus:g} CPU and {gpus:g} GPU"
