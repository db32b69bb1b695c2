"""A node that is taken away with a notice: its worker saves between two steps and goes on elsewhere from there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tablert_dist.storage.atomic import sha256
from tests.support.nodes import Command, Nodes, nodes, train_workers, wait_for
from tests.support.reliability import record
from tests.support.signals import rows
from tests.support.tiny import tiny_records, write_corpus

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(600)]
RAY = str(Path(sys.executable).parent / "ray")


def drain(cluster: Nodes, node: object) -> None:
    """As Ray's autoscaler does when a cloud says that a node goes in two minutes."""
    words = ["--address", cluster.address, "--node-id", str(node.node_id)]  # type: ignore[attr-defined]
    words += [
        "--reason",
        "DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message",
        "spot",
        "--deadline-remaining-seconds",
        "120",
    ]
    done = subprocess.run([RAY, "drain-node", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def ended(seed: Path) -> tuple[str, list[dict[str, float]]]:
    result = seed / "result.json"
    name = Path(json.loads(result.read_text())["checkpoint"]).name
    return sha256(seed / name / "model.safetensors"), rows(result)


def test_a_drained_node_loses_no_step(tiny_encoder: str, tmp_path: Path) -> None:
    records = tiny_records(12) * 40
    data = write_corpus(tmp_path / "tiny", {"train": records, "dev": records[:6]})
    settings = {
        "data.path": str(data), "model.encoder": tiny_encoder, "model.cnn.hidden": "[16]", "optim.encoder_lr": "1e-3",
        "train.epochs": "4", "train.batch_size": "2", "model.frozen": "false", "tracking.enabled": "false",
        "cluster.num_workers": "1", "cluster.cpus_per_worker": "1",
    }  # fmt: skip
    options = ["--no-check", "--name", "r", *(w for k, v in settings.items() for w in ("--set", f"{k}={v}"))]
    with nodes(tmp_path, 2) as cluster:
        options += ["--set", f"cluster.address={cluster.address}"]
        with Command(tmp_path / "calm", "tablert_dist.train", *options) as run:
            run.end()
        with Command(tmp_path / "struck", "tablert_dist.train", *options) as run:
            wait_for(lambda: "epoch 1/4  loss" in run.text, running=run)
            (left,) = [node for node in cluster.workers if train_workers(node)]
            drain(cluster, left)
            at = time.monotonic()
            wait_for(lambda: "the workers have saved, and go on elsewhere" in run.text, running=run)
            wait_for(lambda: "resuming from" in run.text, running=run)
            seconds = time.monotonic() - at
            text = run.end()
    assert re.search(r"resuming from \S*partial_00[234]", text), text[-3000:]
    assert ended(tmp_path / "struck" / "runs" / "r" / "seed-1") == ended(tmp_path / "calm" / "runs" / "r" / "seed-1")
    record("a node, with a notice", "`ray drain-node` in the middle of an epoch", seconds, 0, "same bits")
