"""A run that is being written, and copies of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tablert_dist.config import load_config
from tablert_dist.runs.store import RunStore


def test_a_copy_in_another_process_holds_nothing(tmp_path: Path) -> None:
    """Ray Tune pickles the searcher, which puts points on record through the run."""
    pytest.importorskip("ray")
    from ray import cloudpickle

    config = load_config(None, {"train.storage": str(tmp_path)})
    with RunStore.open(config, "r", False, "tune") as run:
        copy = cloudpickle.loads(cloudpickle.dumps(run))
        assert copy.record == run.record and copy.lease is None and run.lease is not None
        copy.close()
        assert (tmp_path / "r" / "lease.json").is_file(), "the copy's end lets nobody else in"
