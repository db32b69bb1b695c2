"""Files of an earlier version: they load, predict the same JSON, export, resume, and go on in the same MLflow store."""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import shlex
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from export.cli import main as tablert_export
from tablert_dist import Predictor
from tablert_dist.cli import main as tablert
from tablert_dist.tracking import default_uri, store
from tests.support import GOLDEN

WRITTEN_IN = "/tmp/golden"
"""The storage that the run and the MLflow store were written in."""
HEADS = ("cnn", "cnn-plus", "tablert", "spert")
LATER = 2e9
"""Seconds since 1970, long after the files were written or checked out: until then the run may pass for running."""


def call(command: Any, *words: object) -> str:
    """The standard output of a command, run in this process."""
    done = CliRunner().invoke(command, [str(word) for word in words])
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return done.stdout


def predicted(model: Path) -> list[Any]:
    """What `tablert predict` prints for the golden texts."""
    lines = call(tablert, "predict", "--model", model, "--in", GOLDEN / "texts.txt").splitlines()
    return [json.loads(line) for line in lines]


def expected(name: str) -> list[Any]:
    return [json.loads(line) for line in (GOLDEN / "expected" / f"{name}.jsonl").read_text().splitlines()]


def assert_same(found: Any, wanted: Any, rel: float = 1e-4, absolute: float = 1e-5, at: str = "") -> None:
    """Floats within the tolerance, since another CPU rounds otherwise; everything else equal, with the same keys."""
    assert type(found) is type(wanted), f"{at}: {found!r}, not {wanted!r}"
    if isinstance(wanted, dict):
        assert list(found) == list(wanted), at
        for key, value in wanted.items():
            assert_same(found[key], value, rel, absolute, f"{at}.{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), f"{at}: {found!r}, not {wanted!r}"
        for i, value in enumerate(wanted):
            assert_same(found[i], value, rel, absolute, f"{at}[{i}]")
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=rel, abs=absolute), at
    else:
        assert found == wanted, at


def test_no_golden_file_was_rewritten() -> None:
    sums = dict(line.split("  ")[::-1] for line in (GOLDEN / "SHA256SUMS").read_text().splitlines())
    there = {path.relative_to(GOLDEN).as_posix(): path for path in GOLDEN.rglob("*") if path.is_file()}
    assert set(there) == {*sums, "SHA256SUMS", "README.md"}
    for name, digest in sums.items():
        assert hashlib.sha256(there[name].read_bytes()).hexdigest() == digest, name


@pytest.mark.parametrize("head", HEADS)
def test_a_checkpoint_predicts_what_it_did(head: str) -> None:
    found = predicted(GOLDEN / "checkpoint" / head)
    assert_same(found, expected(head))
    assert sum(bool(line["relations"]) for line in found) >= 5, "the comparison is about something"
    texts = (GOLDEN / "texts.txt").read_text().splitlines()
    plain = [i for i, text in enumerate(texts) if not text.startswith("{")]
    extractions = Predictor.load(GOLDEN / "checkpoint" / head).predict([texts[i] for i in plain])
    assert_same([e.to_json() for e in extractions], [expected(head)[i] for i in plain])


@pytest.mark.parametrize("head", HEADS)
def test_a_bundle_predicts_what_it_did(head: str) -> None:
    assert_same(predicted(GOLDEN / "bundle" / f"{head}-fp32"), expected(head))


def test_a_bundle_in_half_precision_predicts_what_it_did() -> None:
    assert_same(predicted(GOLDEN / "bundle" / "cnn-fp16"), expected("cnn-fp16"), rel=1e-2, absolute=1e-3)


def test_a_checkpoint_can_be_exported(tmp_path: Path) -> None:
    """Of one head only: each export takes seconds, and tests/unit/heads/test_heads.py has the others."""
    head, data = "cnn-plus", GOLDEN / "corpus" / "tiny_dev.json"
    checkpoint = GOLDEN / "checkpoint" / head
    call(tablert_export, "--onnx", "--checkpoint", checkpoint, "--out", tmp_path / "bundle", "--verify-data", data)
    assert_same(predicted(tmp_path / "bundle"), expected(head))


@dataclass(frozen=True)
class Resumed:
    """A copy of the interrupted run, resumed to its end."""

    storage: Path
    before: dict[str, Any]
    """`tablert status --json`."""
    losses_before: list[tuple[int, float]]
    """The second seed's in MLflow: step, value."""
    epochs: set[str]
    """That were trained, as printed."""
    after: dict[str, Any]


def unpack(storage: Path) -> None:
    """Put the run and its MLflow store into a storage elsewhere, as someone does who moves them."""
    shutil.copytree(GOLDEN / "run", storage / "run")
    shutil.copytree(GOLDEN / "mlartifacts", storage / "mlartifacts")
    (storage / "mlflow.db").write_bytes(lzma.decompress((GOLDEN / "mlflow.db.xz").read_bytes()))
    # MLflow records where artifacts lie when the experiment is made: after a move the database has to be told.
    with sqlite3.connect(storage / "mlflow.db") as database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (WRITTEN_IN, str(storage)))
    database.close()


def tracked(storage: Path) -> dict[str, Any]:
    """The runs of the experiment in MLflow, by name."""
    client = store.connect(default_uri(storage))
    experiment = client.get_experiment_by_name("golden")
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def losses(storage: Path, run: Any) -> list[tuple[int, float]]:
    history = store.connect(default_uri(storage)).get_metric_history(run.info.run_id, "train/loss")
    return [(metric.step, metric.value) for metric in history]


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    storage = tmp_path_factory.mktemp("moved")
    unpack(storage)
    with patch("time.time", lambda: LATER):
        before = json.loads(call(tablert, "status", "run", "--storage", storage, "--json"))
    losses_before = losses(storage, tracked(storage)["run/seed-2"])
    # The command that is printed names the storage of then: the last --set counts.
    words = shlex.split(before["resume"])
    assert words[0] == "tablert"
    printed = call(tablert, *words[1:], "--set", f"train.storage={storage}")
    after = json.loads(call(tablert, "status", "run", "--storage", storage, "--json"))
    return Resumed(storage, before, losses_before, set(re.findall(r"^epoch (\d+)/", printed, re.MULTILINE)), after)


def test_status_reads_the_run_before_and_after(resumed: Resumed) -> None:
    def parts(status: dict[str, Any]) -> list[tuple[Any, ...]]:
        return [(p["name"], p["state"], p["epoch"], p["best_epoch"], p["dev"]) for p in status["parts"]]

    perfect = {"ner": 1.0, "re": 1.0, "re_plus": 1.0}
    assert resumed.before["state"] == "stopped" and resumed.after["state"] == "finished"
    assert parts(resumed.before) == [("seed-1", "finished", 6, 3, perfect), ("seed-2", "stopped", 3, 3, perfect)]
    assert parts(resumed.after) == [("seed-1", "finished", 6, 3, perfect), ("seed-2", "finished", 6, 3, perfect)]


def test_the_run_resumes_to_the_end_that_it_had(resumed: Resumed) -> None:
    assert resumed.epochs == {"4", "5", "6"}, "a checkpoint that cannot be read is passed over"
    record = json.loads((resumed.storage / "run" / "run.json").read_text())
    assert record["status"] == "finished"
    wanted = json.loads((GOLDEN / "expected" / "run.json").read_text())
    for result, ended in zip(record["results"], wanted, strict=True):
        checkpoint = Path(result["checkpoint"])
        assert checkpoint.is_dir() and checkpoint.is_relative_to(resumed.storage)
        # A later version may add to a result and to its rows.
        kept = {key: result[key] for key in ended} | {"checkpoint": checkpoint.name}
        kept["history"] = [{k: row[k] for k in ended["history"][0]} for row in result["history"]]
        assert_same(kept, ended, at=f"seed {ended['seed']}")
    assert_same(predicted(resumed.storage / "run" / "seed-2" / "epoch_006"), expected("run"))


def test_the_run_goes_on_in_its_mlflow_store(resumed: Resumed, tmp_path: Path) -> None:
    wanted = json.loads((GOLDEN / "expected" / "run.json").read_text())[1]["history"]
    assert [step for step, _ in resumed.losses_before] == [1, 2, 3]
    runs = tracked(resumed.storage)
    assert set(runs) == {"parent", "run/seed-1", "run/seed-2"}, "the same run goes on"
    assert losses(resumed.storage, runs["run/seed-2"]) == [
        (int(row["epoch"]), pytest.approx(row["train/loss"], rel=1e-4, abs=1e-5)) for row in wanted
    ]
    client = store.connect(default_uri(resumed.storage))
    for name in ("run/seed-1", "run/seed-2"):
        run = runs[name]
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == runs["parent"].info.run_id
        assert (run.data.params["train.epochs"], run.data.params["seed"]) == ("6", name[-1])
        assert run.data.metrics["final_test/re_plus_f1"] == 1.0
        assert {"checkpoint", "scores"} <= {file.path for file in client.list_artifacts(run.info.run_id)}
        result = client.download_artifacts(run.info.run_id, "scores/result.json", str(tmp_path))
        assert json.loads(Path(result).read_text())["seed"] == int(name[-1])
