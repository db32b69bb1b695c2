"""Real Ray: a search submitted as a job, a search resumed, and one that cannot fit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from export.cli import main as export_main
from tests.support import ROOT
from tests.support.lines import told
from tests.support.nodes import end, wait_for
from tests.support.ray_head import started_head
from tests.support.reliability import record
from tests.support.tiny import tiny_records, write_corpus

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
TINY = "a model of forty sentences"
"""Why an export may pass that finds nothing to compare."""


@pytest.fixture(scope="module")
def options(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A tiny training on real parts."""
    records = tiny_records(40)
    folder = write_corpus(
        tmp_path_factory.mktemp("corpus") / "tiny", {"train": records, "dev": records[:6], "test": records[6:9]}
    )
    settings = {"model.encoder": tiny_encoder, "model.cnn.hidden": "[16]", "optim.encoder_lr": "1e-3"}
    return ["--data", str(folder), *(w for k, v in settings.items() for w in ("--set", f"{k}={v}"))]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trials."""
    file = tmp_path_factory.mktemp("space") / "two.toml"
    file.write_text('[grid]\n"model.cnn.hidden" = [[8], [16]]\n')
    return file


def start(module: str, cwd: Path, *words: str) -> subprocess.Popen[str]:
    """A command in a session of its own, its output in `log` beside its runs."""
    cwd.mkdir(parents=True, exist_ok=True)
    log = (cwd / "log").open("w")
    return subprocess.Popen(
        [sys.executable, "-m", module, *words],
        cwd=cwd,
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], cwd: Path, timeout: float = 400) -> str:
    try:
        code = process.wait(timeout)
    finally:
        end(process)
    text = (cwd / "log").read_text()
    assert code == 0, text[-4000:]
    return text


def test_workers_know_their_cluster_beside_another_one(tmp_path: Path) -> None:
    """Ray Train's cleaner asks the cluster that RAY_ADDRESS names; without it a second cluster here confuses it."""
    (tmp_path / "ask.py").write_text(
        "import os, ray\n"
        "from tablert_dist.cluster import connect\n"
        "from tablert_dist.config import Config\n"
        "connect(Config(), show_workers=False)\n"
        "address = ray.get(ray.remote(lambda: os.environ.get('RAY_ADDRESS')).remote())\n"
        "assert address == ray.get_runtime_context().gcs_address, address\n"
    )
    asked = [subprocess.Popen([sys.executable, "ask.py"], cwd=tmp_path) for _ in range(2)]
    assert [one.wait(200) for one in asked] == [0, 0]


def test_a_search_that_cannot_fit_is_refused_at_once(options: list[str], tmp_path: Path) -> None:
    process = start("tablert_dist.tune", tmp_path, *options, "--space", "smoke", "--set", "cluster.cpus_per_worker=512")
    assert process.wait(120) == 2
    text = (tmp_path / "log").read_text()
    assert "one training needs 1 × 512 CPU, the cluster has" in text
    assert not list((tmp_path / "runs").glob("tune*")) if (tmp_path / "runs").exists() else True


def test_a_search_killed_in_the_middle_is_resumed(
    options: list[str], space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*options, "--space", str(space), "--set", "train.epochs=12", "--set", "tune.max_concurrent=1"]
    words += ["--set", "tune.scheduler=asha", "--set", f"export.allow={TINY}"]
    first = start("tablert_dist.tune", tmp_path, *words, "--name", "s")
    run = tmp_path / "runs" / "s"
    try:
        wait_for(lambda: list(run.glob("trial-00/epoch_*/checkpoint.json")), 240)
    finally:
        end(first)
    before = json.loads(next(iter(sorted(run.glob("trial-00/epoch_*/checkpoint.json"))[-1:])).read_text())["notes"][
        "history"
    ]
    again, begun = start("tablert_dist.tune", tmp_path, *words, "--resume", "s"), time.monotonic()
    wait_for(
        lambda: sorted(run.glob("trial-00/epoch_*/checkpoint.json"))[-1].parent.name > f"epoch_{len(before):03d}", 240
    )
    seconds = time.monotonic() - begun
    text = finish(again, tmp_path)
    assert "best configuration" in text
    result = json.loads((run / "result.json").read_text())
    assert result["report"]["failures"] == []
    newest = sorted(run.glob("trial-00/epoch_*/checkpoint.json"))[-1]
    after = json.loads(newest.read_text())["notes"]["history"]
    assert after[: len(before)] == before, "epochs that were done are not done again"
    how = "driver and its cluster: SIGKILL; then `--resume` (seconds from there)"
    record("the driver of a search", how, seconds, 0, "same trials, no epoch twice")
    assert_in_mlflow(tmp_path / "runs", children=2, epochs={"trial-00": len(after)})
    monkeypatch.chdir(tmp_path)
    for words in (["--model", "models:/tablert@champion"], ["--run", "s"]):
        out = tmp_path / words[0].strip("-")
        done = CliRunner().invoke(export_main, ["--onnx", *words, "--out", str(out), "--allow", TINY])
        assert done.exit_code == 0, done.stderr
        assert (out / "manifest.json").is_file()
    refused = CliRunner().invoke(export_main, ["--onnx", "--model", "models:/tablert@nobody", "--out", "x"])
    said = told(refused.stderr)
    assert refused.exit_code == 2 and len(said) == 1, refused.stderr


def assert_in_mlflow(storage: Path, children: int, epochs: dict[str, int]) -> None:
    """One parent, its children, each metric once an epoch, the winner registered with its alias."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    experiment = client.get_experiment_by_name("tablert")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    nested = [r for r in found if "mlflow.parentRunId" in r.data.tags]
    (parent,) = [r for r in found if r not in nested]
    assert {r.data.tags["mlflow.parentRunId"] for r in nested} == {parent.info.run_id}
    assert len(nested) == children
    for one in nested:
        assert "model.cnn.hidden" in one.data.params and "data.hash" in one.data.tags
        assert int(one.data.params["model.depth"]) >= 2 and int(one.data.params["model.width"]) > 0
        assert not [key for key in one.data.params if key.startswith(("model.spert", "model.tablert"))]
        assert [each.tags[0].value for each in one.inputs.dataset_inputs].count("training") == 1
        if one.info.run_name in epochs:
            steps = [m.step for m in client.get_metric_history(one.info.run_id, "dev/re_plus_f1")]
            assert sorted(steps) == list(range(1, epochs[one.info.run_name] + 1))
    for one in found:
        assert {"mlflow.user", "mlflow.source.name", "mlflow.note.content"} <= set(one.data.tags)
    assert "best_dev/re_plus_f1" in parent.data.metrics
    assert not [key for key in parent.data.metrics if key.startswith("best/")]
    version = client.get_model_version_by_alias("tablert", "champion")
    assert version.run_id == parent.info.run_id


def test_the_cluster_file_is_one() -> None:
    """Ray's own validation of the launcher file, and its refusal of a misspelt key."""
    import yaml
    from ray.autoscaler._private.util import prepare_config, validate_config

    tree = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    validate_config(prepare_config(tree))
    with pytest.raises(Exception, match="max_wrokers"):
        validate_config(prepare_config({**tree, "max_wrokers": 3}))


@pytest.fixture
def head(tmp_path: Path) -> Iterator[str]:
    """A real Ray head in a session of its own; the address for jobs."""
    with started_head(tmp_path / "head.log", os.environ) as made:
        yield made.address


def test_a_search_submitted_as_a_job_ends_well(head: str, options: list[str], space: Path, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    words = [str(Path(sys.executable).parent / "ray"), "job", "submit", "--address", head, "--working-dir", str(ROOT)]
    words += ["--", sys.executable, "-m", "tablert_dist.tune", *options, "--space", str(space), "--name", "job"]
    words += ["--set", f"train.storage={storage}", "--set", "train.epochs=3", "--set", f"export.allow={TINY}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=560, check=False, cwd=tmp_path)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "best configuration" in done.stdout and "sentences identical" in done.stdout
    result = json.loads((storage / "job" / "result.json").read_text())
    assert result["model_version"] == 1
    assert_in_mlflow(storage, children=2, epochs={f"trial-0{i}": 3 for i in range(2)})
