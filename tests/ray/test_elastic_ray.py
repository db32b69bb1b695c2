"""An elastic training whose workers come and go: a file of its own, for it takes as long as all the other faults."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.ray.test_failures_ray import resumed_at, setting, words
from tests.support.nodes import Command, epochs_in, nodes, result_of, wait_for, weights
from tests.support.reliability import record

__all__ = ["setting"]
pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(600)]


def test_workers_come_and_go(setting: dict[str, str], tmp_path: Path) -> None:
    """One node, then three, then two: the same steps in the same order, and without dropout the same weights."""
    epochs = 120
    # Workers add in another order, so weights differ a little more with each epoch. With tags from the hidden layer they
    # differ by 4e-4 at the end, over the limit here; test_ddp.py compares single steps with such tags, to 1e-6.
    setting = {**setting, "model.cnn.entity_from": "relation"}
    alone = words(setting, train__storage=tmp_path, cluster__num_workers=0, train__epochs=epochs)
    with Command(tmp_path / "first", "tablert_dist.train", "--name", "alone", *alone, OMP_NUM_THREADS="1") as run:
        run.end()
    with nodes(tmp_path, 1) as cluster:
        elastic = {"cluster.num_workers": "[1, 3]", "cluster.resize_seconds": "2", "train.epochs": str(epochs)}
        options = words({**setting, **elastic}, cluster__address=cluster.address, train__storage=tmp_path)
        seed = tmp_path / "elastic" / "seed-1"
        with Command(tmp_path / "out", "tablert_dist.train", "--name", "elastic", *options) as run:
            wait_for(lambda: epochs_in(seed) >= 2, running=run)
            cluster.add()
            cluster.add()
            wait_for(lambda: "3 workers" in run.text, running=run)
            grown = epochs_in(seed)
            wait_for(lambda: epochs_in(seed) > grown, running=run)
            cluster.kill(cluster.workers[-1])
            before, at = epochs_in(seed), time.monotonic()
            wait_for(lambda: epochs_in(seed) > before, running=run)
            seconds = time.monotonic() - at
            text = run.end()
    assert "2 workers" in text and before < epochs
    one, other = weights(tmp_path / "alone"), weights(tmp_path / "elastic")
    for name, value in one.items():
        assert abs(value - other[name]).max() < 1e-4, name
    assert [h["epoch"] for h in result_of(tmp_path / "elastic")["history"]] == list(range(1, epochs + 1))
    end = "same weights to 1e-4 (no dropout)"
    record(
        "a node of an elastic training", "1 node, then 3; one of them: SIGKILL", seconds, before - resumed_at(text), end
    )
