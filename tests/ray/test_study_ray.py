"""A study under Ray Tune: killed in the middle, it is gone on with, and no finished cell is run again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ray.test_ray import finish
from tests.support.nodes import end, wait_for
from tests.support.tiny import tiny_records, write_corpus

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


LAYERS = ("layers", "--layers", "2", "--systems", "cnn,spert", "--epochs", "2")


def start(folder: Path, encoder: str, *study: str) -> subprocess.Popen[str]:
    words = [
        sys.executable, "-m", "tablert_dist.cli", "study", *study, "--config", "conll04",
        "--data", str(folder / "data"), "--set", f"model.encoder={encoder}",
        "--set", "model.cnn.hidden=[8]", "--set", f"train.storage={folder / 'runs'}", "--set", "tune.max_concurrent=1",
    ]  # fmt: skip
    log = (folder / "log").open("w")
    return subprocess.Popen(words, cwd=folder, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True)


@pytest.mark.long
def test_a_killed_study_runs_no_finished_cell_again(tiny_encoder: str, tmp_path: Path) -> None:
    records = tiny_records(8)
    write_corpus(tmp_path / "data", {"train": records, "dev": records[:4]})
    cells = tmp_path / "runs" / "s" / "data"
    first = start(tmp_path, tiny_encoder, *LAYERS, "--name", "s")
    try:
        wait_for(lambda: first.poll() is not None or len(list(cells.glob("trial-*/result.json"))) >= 2, 240)
        assert first.poll() is None, (tmp_path / "log").read_text()[-4000:]
    finally:
        end(first)
    finished = {path: path.read_bytes() for path in cells.glob("trial-*/result.json")}
    times = {path: path.stat().st_mtime_ns for path in finished}
    assert 2 <= len(finished) < 4
    text = finish(start(tmp_path, tiny_encoder, *LAYERS, "--resume", "s"), tmp_path)
    assert f"{4 - len(finished)} of 4 cells to run" in text
    assert all(path.read_bytes() == content for path, content in finished.items())
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    rows = json.loads((tmp_path / "runs" / "s" / "study" / "layers.json").read_text())
    assert {(row["system"], row["frozen"]) for row in rows} == {(s, f) for s in ("cnn", "spert") for f in (True, False)}


def test_a_data_set_without_a_development_split_is_trained_and_scored(tiny_encoder: str, tmp_path: Path) -> None:
    """`study main` on train+dev: nothing that shows or keeps its epochs may ask for a score on dev."""
    records = tiny_records(8)
    write_corpus(tmp_path / "data" / "conll04", {"train": records, "dev": records[:4], "test": records[2:6]})
    options = ("main", "--datasets", "conll04", "--systems", "cnn", "--epochs", "1", "--name", "m")
    text = finish(start(tmp_path, tiny_encoder, *options), tmp_path)
    assert "trial-00 epoch 1/1  loss/sentence" in text and "trained on train+dev; last epoch" in text
