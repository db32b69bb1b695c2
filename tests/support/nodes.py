"""Several real Ray nodes on one machine, commands that run on them, and how to wait for and kill things."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil

T = TypeVar("T")


class Nodes:
    """A head without CPUs and worker nodes of one CPU each. Every node keeps its own copies (TABLERT_CACHE)."""

    def __init__(self, folder: Path, count: int) -> None:
        from ray.cluster_utils import Cluster

        self.folder = folder
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "include_dashboard": True,
                "dashboard_port": 0,
                "dashboard_host": "127.0.0.1",
                # Ray's own choice is one fixed port (52365): beside another cluster on this machine the agent would have
                # no server, and "No available agent to submit job" would be the answer for good.
                "dashboard_agent_listen_port": None,
            },
        )
        self.workers: list[Any] = []
        for _ in range(count):
            self.add()

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    @property
    def dashboard(self) -> str:
        return f"http://{self.cluster.head_node.webui_url}"

    def add(self) -> None:
        cache = self.folder / f"cache-{time.monotonic_ns()}"
        self.workers.append(self.cluster.add_node(num_cpus=1, env_vars={**os.environ, "TABLERT_CACHE": str(cache)}))

    def kill(self, node: Any) -> None:
        """As a machine dies: raylet, agents and workers at once."""
        family = descendants(raylet(node))
        self.workers.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)
        kill_all(family)

    def close(self) -> None:
        family = [p for node in (*self.workers, self.cluster.head_node) for p in descendants(raylet(node))]
        with contextlib.suppress(Exception):
            self.cluster.shutdown()
        kill_all(family)


def raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def train_workers(node: Any) -> list[psutil.Process]:
    """The Ray Train workers of one node."""
    return train_workers_of(raylet(node))


def train_workers_of(pid: int) -> list[psutil.Process]:
    """The Ray Train workers that descend from a process."""
    found = []
    for one in descendants(pid):
        with contextlib.suppress(psutil.Error):
            if "RayTrainWorker" in " ".join(one.cmdline()):
                found.append(one)
    return found


def descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def kill_all(family: list[psutil.Process]) -> None:
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def end(process: subprocess.Popen[Any]) -> None:
    """SIGKILL, to a command and everything that descends from it (Ray's own processes)."""
    family = descendants(process.pid)
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    kill_all(family)


class Command:
    """A command in a session of its own, its output in a file."""

    def __init__(
        self, folder: Path, *words: str, executable: tuple[str, ...] = (sys.executable, "-m"), **env: str
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*executable, *words], cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, **env},
            )  # fmt: skip

    @property
    def text(self) -> str:
        return self.log.read_text()

    def end(self, timeout: float = 300) -> str:
        """Its output, once it has ended well."""
        try:
            code = self.process.wait(timeout)
        finally:
            self.kill()
        assert code == 0, self.text[-4000:]
        return self.text

    def kill(self) -> None:
        """SIGKILL, to it and all that descends from it."""
        end(self.process)

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()


def wait_for(condition: Callable[[], T], seconds: float = 300, running: Command | None = None) -> T:
    """The condition's value once it is true; fails at once where the command has ended with an error."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := condition():
            return value
        if running and running.process.poll():
            break
        time.sleep(0.05)
    raise TimeoutError(running.text[-4000:] if running else "")


def epochs_in(seed: Path) -> int:
    """The newest complete checkpoint of a run in a folder; 0 where there is none."""
    return max((int(p.parent.name[-3:]) for p in seed.glob("epoch_*/checkpoint.json")), default=0)


def result_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "seed-1" / "result.json").read_text()))


def weights(run: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    name = Path(result_of(run)["checkpoint"]).name
    return dict(load_file(run / "seed-1" / name / "model.safetensors"))


@contextlib.contextmanager
def nodes(folder: Path, count: int) -> Iterator[Nodes]:
    made = Nodes(folder, count)
    try:
        yield made
    finally:
        made.close()
