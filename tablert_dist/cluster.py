"""Ray at its edge: settings before the import, connecting, and what the cluster can hold."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tablert_dist.config import Config
from tablert_dist.errors import InputError

log = logging.getLogger(__name__)
SETTINGS = {
    # Ray Train patches print() and so shows every line of a worker twice (Ray 2.60; its own switch, no issue known).
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    # The default of 2 s makes every report wait and notices a dead worker late.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.3",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_COLOR_PREFIX": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune's own default writes three result files a trial beside our journal.
    "TOKENIZERS_PARALLELISM": "false",
}
MOST = 10_000
"""Trainings at once where an autoscaler knows no limit."""
WORKER_SETTINGS = ("TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HOME", "TABLERT_GPU_PATH")


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


def connect(config: Config, show_workers: bool) -> Any:
    """Ray, connected: to `cluster.address`, the cluster of this job or machine, or a new local one.

    Raises InputError where the address does not answer.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    if not ray.is_initialized():
        address = config.cluster.address or ("local" if _no_cluster_here() else None)
        port = _free_port() if address == "local" else None
        # What the job's own environment sets, its workers get from there; Ray refuses to be told twice.
        told = _variables_of_job()
        wanted = {name: os.environ[name] for name in WORKER_SETTINGS if name in os.environ}
        if known := _known_address(address, port):
            wanted["RAY_ADDRESS"] = known
        if port is not None:
            os.environ["RAY_GCS_SERVER_PORT"] = str(port)
        try:
            # Never without the dashboard: an ASHA-stopped trial's placement group is freed through its State API.
            ray.init(
                address=address,
                log_to_driver=show_workers,
                logging_level=logging.ERROR,
                configure_logging=True,
                runtime_env={"env_vars": {name: value for name, value in wanted.items() if name not in told}},
                **({"include_dashboard": True} if address == "local" else {}),
            )
        except ConnectionError as error:
            raise InputError(
                f"cluster.address = {config.cluster.address}: no Ray cluster answers there ({error})"
            ) from None
        except Exception as error:
            if type(error) is not Exception:  # What Ray raises where its own processes do not come up.
                raise
            raise InputError(
                f"Ray did not start on this machine: {error} Run the command again; if it fails again, look into the "
                "newest folder under /tmp/ray (logs/raylet.err, logs/gcs_server.err)"
            ) from None
        finally:
            if port is not None:
                del os.environ["RAY_GCS_SERVER_PORT"]
    return ray


def _free_port() -> int:
    """A TCP port that nobody listens on; the one in RAY_GCS_SERVER_PORT where a user set it."""
    if chosen := os.environ.get("RAY_GCS_SERVER_PORT"):
        return int(chosen)
    with socket.socket() as listener:
        listener.bind(("", 0))
        return int(listener.getsockname()[1])


def _known_address(address: str | None, port: int | None) -> str | None:
    """host:port of the cluster that a driver connects to, or None where only Ray knows it.

    Ray Train's PlacementGroupCleaner (Ray 2.60) looks for a cluster anew, without the address of its own: beside a
    second cluster on the machine it fails, or asks the wrong one and takes a running training for dead. A worker that
    finds RAY_ADDRESS in its environment asks that one.
    """
    if port is not None:
        import ray

        return f"{ray.util.get_node_ip_address()}:{port}"
    named = os.environ.get("RAY_ADDRESS") or address
    if named is None and _current_cluster().is_file():
        named = _current_cluster().read_text(encoding="utf-8").strip()
    return named if named and re.fullmatch(r"[^/\s]+:\d+", named) else None


def _current_cluster() -> Path:
    """Where Ray notes the cluster that `ray start` started last on this machine."""
    return Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray" / "ray_current_cluster"


def _variables_of_job() -> Mapping[str, str]:
    """The `env_vars` of the Ray job that this process is the driver of."""
    config = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}")
    return dict((config.get("runtime_env") or {}).get("env_vars") or {})


def _no_cluster_here() -> bool:
    """Whether no cluster is named by the environment and none runs on this machine.

    A cluster that was killed leaves its address behind, and Ray would wait for it for minutes.
    """
    if "RAY_ADDRESS" in os.environ or "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return False
    try:
        host, _, port = _current_cluster().read_text(encoding="utf-8").strip().rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2.0):
            return False
    except (OSError, ValueError):
        return True


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


def refuse_early(config: Config, trials: bool) -> None:
    """Refuse a training that cannot fit before anything slow is begun: by what a running cluster says of itself or,
    where one would be started here, by this machine's CPUs. Raises InputError."""
    if config.cluster.address is None and _no_cluster_here():
        there = Capacity([{"CPU": float(os.cpu_count() or 1)}])
        room_for(replace(scaling_plan(config, {}, trials), gpus=0.0), there, config.cluster.max_workers)
    else:
        resources = connect(config, show_workers=not trials).cluster_resources()
        room_for(scaling_plan(config, resources, trials), capacity(), config.cluster.max_workers)


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
