"""Ray at its edge: settings before the import, connecting, and what the cluster can hold."""

from __future__ import annotations

import logging
import math
import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tablert_dist.config import Config
from tablert_dist.errors import InputError

log = logging.getLogger(__name__)
SETTINGS = {
    # Ray patches print() and so shows every line of a worker twice.
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
WORKER_SETTINGS = ("TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HOME")


@dataclass(frozen=True)
class Shape:
    """What one training asks for."""

    workers: int
    cpus: float
    gpus: float
    most: int | None = None
    """Workers that an elastic training grows to; `workers` is then the least that it runs with."""

    def __str__(self) -> str:
        gpus = f" and {self.gpus:g} GPU" if self.gpus else ""
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
        variables = {name: os.environ[name] for name in WORKER_SETTINGS if name in os.environ}
        try:
            # Never without the dashboard: an ASHA-stopped trial's placement group is freed through its State API.
            ray.init(
                address=address,
                log_to_driver=show_workers,
                logging_level=logging.ERROR,
                configure_logging=True,
                runtime_env={"env_vars": variables},
                **({"include_dashboard": True} if address == "local" else {}),
            )
        except ConnectionError as error:
            raise InputError(
                f"cluster.address = {config.cluster.address}: no Ray cluster answers there ({error})"
            ) from None
    return ray


def _no_cluster_here() -> bool:
    """Whether no cluster is named by the environment and none runs on this machine.

    A cluster that was killed leaves its address behind, and Ray would wait for it for minutes.
    """
    if "RAY_ADDRESS" in os.environ or "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return False
    left = Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir())) / "ray" / "ray_current_cluster"
    try:
        host, _, port = left.read_text(encoding="utf-8").strip().rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2.0):
            return False
    except (OSError, ValueError):
        return True


def shape_of(config: Config, resources: dict[str, float], trials: bool) -> Shape:
    """Workers and what each gets. CPUs unset: 1 for a trial of a search, an even share of the cluster for a training."""
    wanted = config.cluster.num_workers
    workers, most = (max(1, wanted), None) if isinstance(wanted, int) else wanted
    if trials and most:
        raise InputError(f"cluster.num_workers = [{workers}, {most}]: a trial of a search has a fixed number; give one")
    gpus = config.cluster.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if config.train.device != "cpu" and resources.get("GPU", 0) >= 1 else 0.0
    cpus = config.cluster.cpus_per_worker
    if cpus is None:
        cpus = 1.0 if trials or gpus else max(1.0, resources.get("CPU", 1.0) // (most or workers))
    return Shape(workers, cpus, gpus, most)


def room_for(shape: Shape, resources: dict[str, float], max_workers: int | None) -> int:
    """How many trainings of this shape fit at once, in the cluster as it is or as its autoscaler may grow it.

    Raises InputError, with what is needed and what there is, where not even one does.
    """
    by_cpu = resources.get("CPU", 0.0) / (shape.workers * shape.cpus)
    by_gpu = resources.get("GPU", 0.0) / (shape.workers * shape.gpus) if shape.gpus else math.inf
    room = math.floor(min(by_cpu, by_gpu) + 1e-9)
    if max_workers is not None:
        room = max(room, max_workers // shape.workers)
    if room < 1:
        there = f"{resources.get('CPU', 0):g} CPU and {resources.get('GPU', 0):g} GPU"
        limit = f", and cluster.max_workers = {max_workers} is below it" if max_workers is not None else ""
        raise InputError(
            f"one training needs {shape}, the cluster has {there}{limit}; lower cluster.num_workers or "
            f"cluster.cpus_per_worker, or say with cluster.max_workers how far an autoscaler may grow the cluster"
        )
    return room
