"""Searches on real Ray: what ASHA leaves behind, Optuna and two stages killed in the middle and gone on with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tablert_dist.tracking.journal import read_events
from tests.ray.test_ray import finish
from tests.support import TESTS
from tests.support.nodes import end, wait_for
from tests.support.ray_head import Head, started_head
from tests.support.tiny import tiny_records, write_corpus

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
SCRIPT = TESTS / "support" / "run_search.py"


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """One cluster for all of them: a killed search leaves it, as on a cluster that others use too."""
    with started_head(tmp_path_factory.mktemp("head") / "log", os.environ) as made:
        yield made


@pytest.fixture(scope="module")
def settings(head: Head, tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A training of seconds that learns its corpus."""
    records = tiny_records(40)
    folder = write_corpus(tmp_path_factory.mktemp("corpus") / "tiny", {"train": records, "dev": records[:6]})
    return {
        "data.path": str(folder),
        "model.encoder": tiny_encoder,
        "model.cnn.hidden": "[32]",
        "model.dropout": "0.0",
        "optim.encoder_lr": "5e-3",
        "optim.lr": "1e-2",
        "optim.warmup": "0.0",
        "cluster.address": head.gcs,
    }


class Search:
    """`run_search.py` in a session of its own, its output in `log`."""

    def __init__(self, folder: Path, space: str, settings: dict[str, str]) -> None:
        self.folder, self.run = folder, folder / "runs" / "s"
        (folder / "space.toml").write_text(space)
        self._words = [f"{key}={value}" for key, value in settings.items()]

    def start(self, resume: str = "new") -> subprocess.Popen[str]:
        words = [sys.executable, str(SCRIPT), "space.toml", "s", resume, *self._words]
        log = (self.folder / "log").open("w")
        return subprocess.Popen(
            words, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    def kill_when(self, condition: Callable[[], object]) -> None:
        process = self.start()
        try:
            wait_for(lambda: process.poll() is not None or bool(condition()), 240)
            assert process.poll() is None, (self.folder / "log").read_text()[-4000:]
        finally:
            end(process)

    def found(self, resume: str = "new") -> dict[str, Any]:
        """What it prints when it has ended."""
        lines = finish(self.start(resume), self.folder).splitlines()
        return dict(json.loads(next(line for line in reversed(lines) if line.startswith('{"trials"'))))

    def record(self) -> dict[str, Any]:
        return dict(json.loads((self.run / "run.json").read_text()))


def epochs_on_record(folder: Path) -> list[int]:
    """The steps of the training metrics in a trial's journal, in the order in which they were written."""
    events = [event for event, _ in read_events(folder) if event]
    return [e["step"] for e in events if e["kind"] == "metrics" and "train/loss" in e["values"]]


def test_asha_stops_trials_and_leaves_no_placement_group(settings: dict[str, str], tmp_path: Path) -> None:
    space = '[grid]\n"optim.lr" = [1e-2, 9e-3, 1e-7, 2e-7]\n'
    asha = {"tune.scheduler": "asha", "tune.reduction_factor": "2", "tune.max_concurrent": "2", "train.epochs": "20"}
    found = Search(tmp_path, space, {**settings, "optim.encoder_lr": "1e-4", **asha}).found()
    trials = found["trials"]
    assert len(trials) == 4 and all(t["finished"] != t["stopped"] and t["epochs"] for t in trials)
    stopped = [t for t in trials if t["stopped"]]
    assert stopped and all(2 <= t["epochs"] < 20 for t in stopped)
    assert found["best"] in {"trial-00", "trial-01"}
    assert found["placement_groups"] == []


@pytest.mark.long
def test_an_optuna_search_killed_in_the_middle_repeats_nothing(settings: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    space = '[grid]\n"model.cnn.hidden" = [[8], [16]]\n[range]\n"optim.lr" = { low = 1e-3, high = 1e-2, log = true }\n'
    optuna = {"tune.search": "optuna", "tune.trials": "4", "tune.max_concurrent": "2", "train.epochs": "6"}
    run = Search(tmp_path, space, {**settings, **optuna})
    run.kill_when(lambda: list(run.run.glob("trial-*/result.json")) and list(run.run.glob("trial-02/journal.jsonl")))
    before = run.record()["points"]
    ended = [p.parent.name for p in run.run.glob("trial-*/result.json")]
    times = {name: (run.run / name / "result.json").stat().st_mtime_ns for name in ended}
    found = run.found("resume")
    assert [t["name"] for t in found["trials"]] == [f"trial-0{i}" for i in range(4)]
    assert all(t["finished"] for t in found["trials"])
    assert [t["point"] for t in found["trials"]][: len(before)] == before, "each trial keeps its point"
    assert sorted(p.name for p in run.run.glob("trial-*")) == [f"trial-0{i}" for i in range(4)]
    for i in range(4):
        assert epochs_on_record(run.run / f"trial-0{i}") == [1, 2, 3, 4, 5, 6]
    assert {name: (run.run / name / "result.json").stat().st_mtime_ns for name in ended} == times


def test_two_stages_killed_in_the_second_are_gone_on_with(settings: dict[str, str], tmp_path: Path) -> None:
    space = '[grid]\n"optim.lr" = [1e-2, 1e-7]\n'
    stages = {"tune.stages": "2", "tune.finalists": "1", "train.epochs": "12"}
    run = Search(tmp_path, space, {**settings, **stages})
    run.kill_when(lambda: list(run.run.glob("stage-2/trial-*/epoch_00[2-9]/checkpoint.json")))
    assert run.record()["finalists"] == [0], "the head that learns"
    heads = sorted(run.run.glob("stage-1/trial-*/epoch_*/checkpoint.json"))
    times = [p.stat().st_mtime_ns for p in heads]
    found = run.found("resume")
    assert [t["name"] for t in found["trials"]] == ["stage-1/trial-00", "stage-1/trial-01", "stage-2/trial-00"]
    assert found["best"] == "stage-2/trial-00"
    assert [p.stat().st_mtime_ns for p in heads] == times, "nothing of the first stage is done again"
    assert epochs_on_record(run.run / "stage-2" / "trial-00") == list(range(1, 13))
    frozen = {}
    for folder in sorted(run.run.glob("stage-*/trial-*")):
        events = [event for event, _ in read_events(folder) if event]
        tags = {k: v for e in events if e["kind"] == "tags" for k, v in e["values"].items()}
        params = {k: v for e in events if e["kind"] == "params" for k, v in e["values"].items()}
        assert tags["stage"] == folder.parent.name.removeprefix("stage-")
        frozen[f"{folder.parent.name}/{folder.name}"] = params["model.frozen"]
    assert frozen == {"stage-1/trial-00": "True", "stage-1/trial-01": "True", "stage-2/trial-00": "False"}
    starts = [json.loads(p.read_text().splitlines()[0]) for p in sorted(run.run.glob("stage-*/trial-*/journal.jsonl"))]
    parent = json.loads((run.run / "journal.jsonl").read_text().splitlines()[0])["uid"]
    assert {s["parent"] for s in starts} == {parent}
    assert not (run.run / "stage-1" / "features").exists()
