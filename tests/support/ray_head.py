"""A real Ray head of a test's own: its ports, its folder, its token, and an end that leaves no process behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

RAY = str(Path(sys.executable).parent / "ray")


@dataclass(frozen=True)
class Head:
    """The address for jobs, that for drivers, and the environment that its clients need."""

    address: str
    gcs: str
    environment: Mapping[str, str]

    def submit(
        self, *words: str, cwd: Path, environment: Mapping[str, str] | None = None, timeout: float = 240
    ) -> subprocess.CompletedProcess[str]:
        """`ray job submit` from `cwd`, waiting for the job's end; both streams in stdout."""
        return subprocess.run(
            [RAY, "job", "submit", "--address", self.address, *words],
            cwd=cwd, env=dict(environment or self.environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def status_of(self, path: str, token: str | None = None) -> int:
        """The HTTP status of a GET to the dashboard."""
        request = urllib.request.Request(self.address + path)
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


@contextlib.contextmanager
def started_head(log: Path, environment: Mapping[str, str], cpus: int = 2) -> Iterator[Head]:
    """`ray start --head` on loopback. The folder is a short one: a socket's path has room for 107 characters."""
    ports = free_ports(3)
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    words = [RAY, "start", "--head", "--block", f"--num-cpus={cpus}", f"--port={ports[0]}"]
    words += [f"--dashboard-port={ports[1]}", "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1"]
    # The agent's own port is a fixed one unless told: beside another cluster on this machine it could take no job.
    words += [f"--dashboard-agent-listen-port={ports[2]}", f"--temp-dir={folder}", "--disable-usage-stats"]
    with log.open("w") as file:
        process = subprocess.Popen(
            words, env=dict(environment), stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    head = Head(f"http://127.0.0.1:{ports[1]}", f"127.0.0.1:{ports[0]}", environment)
    try:
        until = time.monotonic() + 120
        while True:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the head did not start:\n{log.read_text()[-4000:]}")
            with contextlib.suppress(OSError):
                if head.status_of("/api/version"):
                    break
            time.sleep(0.2)
        yield head
    finally:
        end_family(process)
        shutil.rmtree(folder, ignore_errors=True)


def end_family(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that descends from it, and wait until they are gone."""
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(family, timeout=20)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def clean_environment(home: Path, **settings: str) -> dict[str, str]:
    """This process's environment with another HOME and no word about Ray's authentication but `settings`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return {**kept, "HOME": str(home), "RAY_USAGE_STATS_ENABLED": "0", **settings}
