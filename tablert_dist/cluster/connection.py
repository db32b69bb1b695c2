"""Ray at its edge: settings before the import, and connecting."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tablert_dist.cluster.capacity import Capacity, capacity, room_for, scaling_plan
from tablert_dist.config import Config
from tablert_dist.errors import InputError
from tablert_dist.waiting import waiting

log = logging.getLogger(__name__)
SETTINGS = {
    # Ray Train patches print() and so shows every line of a worker twice (Ray 2.60; its own switch, no issue known).
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    # The default of 2 s makes every report wait and notices a dead worker late.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.3",
    # The workers look for a notice by themselves: train/ray_train.py says why.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_COLOR_PREFIX": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune's own default writes three result files a trial beside our journal.
    "TOKENIZERS_PARALLELISM": "false",
    # See cli/common.py; the workers get it, too.
    "GOMP_SPINCOUNT": "1000",
}
WORKER_SETTINGS = (
    "TOKENIZERS_PARALLELISM",
    "GOMP_SPINCOUNT",
    "PYTORCH_ALLOC_CONF",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_HOME",
    "TABLERT_GPU_PATH",
)


def connect(config: Config, show_workers: bool) -> Any:
    """Ray, connected: to `cluster.address`, the cluster of this job or machine, or a new local one.

    Raises InputError where the address does not answer.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    with waiting("loading Ray"):
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
        # Ray replaces the process's own by one that exits in the middle of whatever it does.
        handler = signal.getsignal(signal.SIGTERM)
        try:
            with waiting("starting Ray" if address == "local" else "connecting to Ray"):
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
            if callable(handler) and threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)
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

    Ray Train's PlacementGroupCleaner (Ray 2.60) searches for a cluster without knowing the address of its own: beside a
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


def refuse_early(config: Config, trials: bool) -> None:
    """Refuse a training that cannot fit before anything slow is begun: by what a running cluster says of itself or,
    where one would be started here, by this machine's CPUs. Raises InputError."""
    if config.cluster.address is None and _no_cluster_here():
        there = Capacity([{"CPU": float(os.cpu_count() or 1)}])
        room_for(replace(scaling_plan(config, {}, trials), gpus=0.0), there, config.cluster.max_workers)
    else:
        resources = connect(config, show_workers=not trials).cluster_resources()
        room_for(scaling_plan(config, resources, trials), capacity(), config.cluster.max_workers)
