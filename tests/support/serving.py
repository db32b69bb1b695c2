"""For the tests of the server: a tiny bundle, one of other types, and a server process."""

from __future__ import annotations

import atexit
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.tiny import write_tiny_checkpoint

TEXTS = ["Ada near Oslo", "", "Bo works at Acme , near Tromsø .", " \n", "Ada Bo Acme Oslo near the harbour 👩‍🚀 …"]
TEN_MB = json.dumps({"text": "Ada " * 2_500_000}).encode()


def make_bundle(encoder: str, folder: Path) -> Path:
    """The tiny checkpoint, exported: `folder/checkpoint` and `folder/bundle`. A process exports it once and copies it."""
    shutil.copytree(_exported(encoder), folder, dirs_exist_ok=True)
    return folder / "bundle"


@cache
def _exported(encoder: str) -> Path:
    from export.graph import export_bundle
    from tablert_dist.config import ExportConfig

    folder = Path(tempfile.mkdtemp(prefix="tablert-tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    checkpoint = write_tiny_checkpoint(encoder, folder / "checkpoint")
    export_bundle(checkpoint, folder / "bundle", ExportConfig(), [["Ada", "near", "Oslo"]])
    return folder


def renamed(bundle: Path, folder: Path) -> Path:
    """A whole bundle whose entity types have other names: its answers say which of the two gave them."""
    from export.bundle_writer import seal

    shutil.copytree(bundle, folder)
    schema = json.loads((folder / "schema.json").read_text())
    schema["entity_types"] = [f"New{name}" for name in schema["entity_types"]]
    (folder / "schema.json").write_text(json.dumps(schema))
    facts = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").unlink()
    for key in ("files", "format"):
        del facts[key]
    seal(folder, facts.pop("graphs"), facts)
    return folder


@dataclass
class Server:
    """A running `tablert serve`."""

    process: subprocess.Popen[str]
    client: httpx.Client
    log: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return str(self.client.base_url)

    def post(self, tree: object) -> httpx.Response:
        return self.client.post("/v1/extract", json=tree)

    def metric(self, line: str) -> float:
        found = [x for x in self.client.get("/metrics").text.splitlines() if x.startswith(line + " ")]
        return float(found[0].split()[-1]) if found else 0.0


@contextmanager
def running(
    bundle: Path | str, *settings: str, options: tuple[str, ...] = (), timeout: float = 60, descriptors: int = 0
) -> Iterator[Server]:
    """A server process on a free loopback port, of a bundle or of models:/…; it is ended, and must then end well.

    `descriptors`: as many and no more may it open.
    """
    option = "--model" if str(bundle).startswith("models:/") else "--bundle"
    words = [sys.executable, "-m", "tablert_dist.cli", "serve", option, str(bundle), *options]
    for setting in ("serve.port=0", *settings):
        words += ["--set", setting]
    if descriptors:
        words = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *words]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout and process.stderr
    log: list[str] = []
    reader = threading.Thread(target=lambda: log.extend(process.stderr or ()), daemon=True)
    reader.start()
    killer = threading.Timer(timeout, process.kill)
    killer.start()
    line = process.stdout.readline()
    killer.cancel()
    assert line.startswith("serving http://127.0.0.1:"), log
    try:
        kind = {"content-type": "application/json"}
        with httpx.Client(base_url=line.split()[1], timeout=30, trust_env=False, headers=kind) as client:
            yield Server(process, client, log)
        process.terminate()
        assert process.wait(60) == 0, log
    finally:
        process.kill()
        process.wait()
        reader.join(5)
        process.stdout.close()
        process.stderr.close()


def assert_same(found: Any, expected: list[dict[str, Any]]) -> None:
    """Equal but for probabilities, which batches may move a little."""

    def close(one: Any, other: Any) -> bool:
        if isinstance(other, float):
            return bool(one == pytest.approx(other, abs=1e-4))
        if isinstance(other, dict):
            return one.keys() == other.keys() and all(close(one[key], other[key]) for key in other)
        if isinstance(other, list):
            return len(one) == len(other) and all(map(close, one, other))
        return bool(one == other)

    assert close(found, expected), (found, expected)


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
