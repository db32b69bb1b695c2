"""`tablert status`: what is said of a run is what its files hold, whatever state it was left in."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tablert_dist.config import load_config
from tablert_dist.errors import InputError
from tablert_dist.runs.status import read_status, run_names
from tablert_dist.storage.lease import Holder
from tablert_dist.storage.remote import Remote
from tablert_dist.tracking import begin_run
from tablert_dist.train.fit import FitResult, fit
from tests.support.lines import told
from tests.support.tiny import tiny_records, write_corpus
from tests.unit.storage.test_remote import s3_server

HOUR = 3600.0


def settings(encoder: str, folder: Path) -> dict[str, Any]:
    records = tiny_records(12)
    corpus = write_corpus(folder / "tiny", {"train": records, "dev": records[:4], "test": records[4:8]})
    return {
        "data.path": str(corpus), "model.encoder": encoder, "model.cnn.hidden": [8], "train.epochs": 3,
        "optim.encoder_lr": 1e-3, "cluster.num_workers": 0, "train.storage": str(folder / "runs"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def trained(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    """A training of two seeds, finished, with its journal."""
    folder = tmp_path_factory.mktemp("trained")
    values = {**settings(tiny_encoder, folder), "train.seeds": [1, 2]}
    return fit(load_config("sample", values), "a")


@pytest.fixture
def storage(trained: FitResult, tmp_path: Path) -> Path:
    """A copy of its storage, to be broken."""
    shutil.copytree(trained.folder.parent, tmp_path / "runs", ignore=shutil.ignore_patterns("*.safetensors", "ml*"))
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    yield from s3_server()


def tablert(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tablert_dist.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=240, check=False)


def test_a_finished_training_is_shown_as_its_results_have_it(trained: FitResult, tmp_path: Path) -> None:
    found = read_status(trained.folder.parent, "a")
    assert (found.state, found.kind, [part.name for part in found.parts]) == ("finished", "train", ["seed-1", "seed-2"])
    for part, result in zip(found.parts, trained.results, strict=True):
        row = result["history"][result["epoch"] - 1]
        assert (part.state, part.epoch, part.best_epoch) == ("finished", 3, result["epoch"])
        assert part.best == {level: row[f"dev/{level}_f1"] for level in ("ner", "re", "re_plus")}
        assert part.checkpoint == result["checkpoint"]
    assert found.checkpoint == trained.best["checkpoint"]
    told = tablert("status", "a", "--storage", str(trained.folder.parent), cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "finished" in told.stdout and f"checkpoint: {found.checkpoint}" in told.stdout
    assert f"MLflow: sqlite:///{trained.folder.parent}/mlflow.db" in told.stdout
    tree = json.loads(
        tablert("status", "a", "--json", "--set", f"train.storage={trained.folder.parent}", cwd=tmp_path).stdout
    )
    assert tree["parts"][1]["dev"] == {
        level: trained.results[1]["history"][-1][f"dev/{level}_f1"] for level in ("ner", "re", "re_plus")
    }
    assert tree["resume"] is None and tree["state"] == "finished"
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_a_killed_training_goes_on_with_the_command_that_is_printed(tiny_encoder: str, tmp_path: Path) -> None:
    values = {**settings(tiny_encoder, tmp_path), "train.epochs": 15, "tracking.enabled": False}
    words = [w for key, value in values.items() for w in ("--set", f"{key}={json.dumps(value).strip(chr(34))}")]
    process = subprocess.Popen(
        [sys.executable, "-m", "tablert_dist.cli", "train", "--config", "conll04", *words, "--name", "cut"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not list((tmp_path / "runs" / "cut").glob("seed-1/epoch_00[2-9]/checkpoint.json")):
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    found = read_status(tmp_path / "runs", "cut")
    assert found.state == "dead" and found.holder is not None, "told by its process, not after ten minutes"
    assert 2 <= found.parts[0].epoch < 15 and found.parts[0].checkpoint is not None
    told = tablert("status", "cut", cwd=tmp_path).stdout
    assert f"; it was process {process.pid} on" in told and "dead; no sign of life for" in told
    command = shlex.split(next(line for line in told.splitlines() if "go on with: " in line).split("go on with: ")[1])
    verb = command.index("train")
    assert command[verb : verb + 3] == ["train", "--config", "conll04"]
    done = tablert(*command[verb:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ended = read_status(tmp_path / "runs", "cut")
    assert (ended.state, ended.parts[0].epoch) == ("finished", 15)


def test_a_holder_on_another_machine_is_told_by_its_last_sign_of_life(storage: Path) -> None:
    record = json.loads((storage / "a" / "run.json").read_text())
    (storage / "a" / "run.json").write_text(json.dumps({**record, "status": "running"}))
    now = time.time()
    far = {**asdict(Holder.me()), "host": "far", "machine": "another", "since": now - HOUR, "beat": now}
    (storage / "a" / "lease.json").write_text(json.dumps(far))
    for later, state in ((10, "running"), (60, "dead")):
        found = read_status(storage, "a", now=now + later)
        assert found.state == state and found.silent_s == pytest.approx(later)
    (storage / "a" / "lease.json").unlink()
    (storage / "a" / "run.json").write_text(json.dumps({**record, "status": "stopped"}))
    assert read_status(storage, "a").state == "stopped", "it said so itself"


def test_what_a_crash_leaves_is_passed_over(storage: Path) -> None:
    seed = storage / "a" / "seed-2"
    record = json.loads((storage / "a" / "run.json").read_text())
    (storage / "a" / "run.json").write_text(json.dumps({**record, "status": "running"}))
    whole = read_status(storage, "a")
    assert whole.state == "running" and whole.parts[1].state == "finished"
    (seed / "result.json").unlink()
    newest = seed / "epoch_003" / "checkpoint.json"
    newest.write_text(newest.read_text()[:200])
    with (seed / "journal.jsonl").open("a") as file:
        file.write('{"time": 1, "kind": "met')
    found = read_status(storage, "a")
    # The journal ends with FINISHED though the result is gone, and still has the third epoch.
    assert (found.parts[1].state, found.parts[1].epoch) == ("stopped", 3)
    assert found.parts[1].dev == whole.parts[1].dev
    for path in (seed / "journal.jsonl", seed / "epoch_003"):
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
    kept = [p.name for p in sorted(seed.glob("epoch_*"))]
    found = read_status(storage, "a", now=time.time() + HOUR)
    assert found.parts[1].epoch == (int(kept[-1][-3:]) if kept else 0)
    assert found.state == "stopped"


def test_a_run_that_ended_by_an_error_has_stopped_at_once(storage: Path) -> None:
    seed = storage / "a" / "seed-2"
    record = json.loads((storage / "a" / "run.json").read_text())
    (storage / "a" / "run.json").write_text(json.dumps({**record, "status": "running"}))
    (seed / "result.json").unlink()
    lines = (seed / "journal.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["kind"] == "status"
    lines[-1] = lines[-1].replace("FINISHED", "FAILED")
    (seed / "journal.jsonl").write_text("".join(f"{line}\n" for line in lines))
    found = read_status(storage, "a")
    assert (found.state, found.parts[1].state, found.parts[1].reason) == ("stopped", "stopped", "failed")


def test_a_search_names_each_trials_point_and_why_it_stopped(storage: Path, tmp_path: Path) -> None:
    record = json.loads((storage / "a" / "run.json").read_text())
    points = [{"model.cnn.kernel_size": size} for size in (1, 3, 5)]
    search = storage / "s"
    search.mkdir()
    tree = {**record, "name": "s", "kind": "tune", "points": points, "space": "paper", "status": "running"}
    (search / "run.json").write_text(json.dumps(tree))
    shutil.copytree(storage / "a" / "seed-1", search / "trial-00")
    shutil.copytree(storage / "a" / "seed-2", search / "trial-01")
    (search / "trial-01" / "result.json").unlink()
    tracker = begin_run(search / "trial-01", uri=f"sqlite:///{tmp_path}/m.db", experiment="e", name="trial-01")
    tracker.tags({"stopped_by": "scheduler"})
    tracker.close("KILLED", timeout=0.0)
    found = read_status(storage, "s")
    assert found.state == "running", "a stopped trial does not stop the search"
    assert [part.state for part in found.parts] == ["finished", "stopped", "waiting"]
    assert [part.point for part in found.parts] == points and found.parts[1].reason == "by the scheduler"
    told = tablert("status", "s", "--storage", str(storage), cwd=tmp_path).stdout
    assert "stopped (by the scheduler)" in told and "kernel_size 5" in told
    old = read_status(storage, "s", now=time.time() + HOUR)
    assert old.state == "stopped"
    (search / "trial-02").mkdir()
    (search / "trial-02" / "stopped.json").write_text('{"epoch": 2, "scheduler": "asha"}')
    assert read_status(storage, "s").parts[2].reason == "by the scheduler"
    outcome = {"trial": "trial-00", "checkpoint": "/c", "bundle": "/b"}
    (search / "result.json").write_text(json.dumps(outcome))
    found = read_status(storage, "s", now=time.time() + HOUR)
    assert (found.state, found.checkpoint) == ("finished", "/c")


def test_of_two_stages_the_second_decides(storage: Path) -> None:
    record = json.loads((storage / "a" / "run.json").read_text())
    record["config"]["tune"]["stages"] = 2
    tree = {**record, "kind": "tune", "points": [{"model.cnn.kernel_size": size} for size in (1, 3)], "finalists": [1]}
    (storage / "s" / "stage-1").mkdir(parents=True)
    (storage / "s" / "run.json").write_text(json.dumps(tree))
    for index in (0, 1):
        shutil.copytree(storage / "a" / f"seed-{index + 1}", storage / "s" / "stage-1" / f"trial-0{index}")
    found = read_status(storage, "s")
    assert [part.name for part in found.parts] == ["stage-1/trial-00", "stage-1/trial-01", "stage-2/trial-01"]
    first = max(found.parts[:2], key=lambda part: part.best["re_plus"])
    assert found.best == first and found.parts[2].state == "waiting"
    worse = storage / "s" / "stage-2" / "trial-01"
    shutil.copytree(storage / "a" / "seed-1", worse)
    result = json.loads((worse / "result.json").read_text())
    for row in result["history"]:
        row["dev/re_plus_f1"] = -1.0
    (worse / "result.json").write_text(json.dumps(result))
    found = read_status(storage, "s")
    assert found.best == found.parts[2] and found.parts[2].point == {"model.cnn.kernel_size": 3}


def test_the_list_has_the_newest_first_and_an_unknown_name_gets_the_names(storage: Path, tmp_path: Path) -> None:
    shutil.copytree(storage / "a", storage / "old")
    for path in (storage / "old").rglob("*"):
        os.utime(path, (1000.0, 1000.0))
    for journal in (storage / "old").rglob("journal.jsonl"):
        journal.unlink()
    (storage / "broken").mkdir()
    (storage / "broken" / "run.json").write_text('{"kind": ')
    assert run_names(storage) == ["a", "broken", "old"]
    listed = tablert("status", "--storage", str(storage), cwd=tmp_path)
    assert listed.returncode == 0
    names = [line.split()[0] for line in listed.stdout.splitlines()[1:]]
    assert names == ["a", "old"] and "broken/run.json is not the record of a run" in listed.stderr
    unknown = tablert("status", "odl", "--storage", str(storage), cwd=tmp_path)
    assert unknown.returncode == 2 and len(told(unknown.stderr)) == 1
    assert f"no run 'odl' in {storage}; there are: a, broken, old; did you mean 'old'?" in unknown.stderr
    (tmp_path / "empty").mkdir()
    empty = tablert("status", "a", "--storage", "empty", cwd=tmp_path)
    assert empty.returncode == 2 and "it holds no run" in empty.stderr
    with pytest.raises(InputError, match="not the record of a run"):
        read_status(storage, "broken")


def test_a_run_at_a_url_is_read_there(storage: Path, s3: str, tmp_path: Path) -> None:
    url = f"{s3.partition('?')[0].rstrip('/')}/status{s3[s3.index('?') :] if '?' in s3 else ''}"
    remote = Remote(url)
    for path in (storage / "a").rglob("*.json*"):
        remote.put(path, path.relative_to(storage).as_posix())
    there = json.loads(tablert("status", "a", "--json", "--storage", url, cwd=tmp_path).stdout)
    here = json.loads(tablert("status", "a", "--json", "--storage", str(storage), cwd=tmp_path).stdout)
    shown = url.partition("?")[0]
    assert there["checkpoint"] == here["checkpoint"].replace(str(storage), shown)
    assert there["folder"] == f"{shown}/a" and there["state"] == "finished"
    for name in ("name", "state", "epoch", "dev", "best", "best_epoch"):
        assert [part[name] for part in there["parts"]] == [part[name] for part in here["parts"]]
    assert there["silent_s"] < HOUR
    unknown = tablert("status", "b", "--storage", url, cwd=tmp_path)
    assert unknown.returncode == 2 and f"no run 'b' in {shown}; there are: a" in unknown.stderr
    refused = tablert("status", "--storage", "s3://key:secret@bucket/runs", cwd=tmp_path)
    assert refused.returncode == 2 and "must not hold a login" in refused.stderr and "secret" not in refused.stderr


def test_a_login_in_the_servers_address_is_not_shown(storage: Path, tmp_path: Path) -> None:
    record = json.loads((storage / "a" / "run.json").read_text())
    record["config"]["tracking"]["uri"] = "https://ada:secret@mlflow.example"
    record["status"] = "running"
    (storage / "a" / "run.json").write_text(json.dumps(record))
    for path in (storage / "a").rglob("*"):
        os.utime(path, (1000.0, 1000.0))
    for journal in (storage / "a").rglob("journal.jsonl"):
        journal.unlink()
    for words in ([], ["--json"]):
        told = tablert("status", "a", "--storage", str(storage), *words, cwd=tmp_path).stdout
        assert "https://***@mlflow.example" in told and "stopped" in told and "secret" not in told


def test_a_storage_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    for words in (["--storage", "no/such"], ["--set", "train.storage=no/such"], ["r", "--storage", "no/such"]):
        done = tablert("status", *words, cwd=tmp_path)
        assert done.returncode == 2 and "there is no folder" in done.stderr and "no/such" in done.stderr, done
    # Without a name it is the default, in which nobody has trained yet.
    assert tablert("status", cwd=tmp_path).returncode == 0


def test_neither_torch_nor_ray_is_loaded(storage: Path) -> None:
    code = (
        "import sys; from tablert_dist.cli.status import command; "
        f"command(['a', '--storage', {str(storage)!r}], standalone_mode=False); "
        "print(*sorted({'torch', 'ray', 'mlflow', 'transformers'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "seed-2" in done.stdout and done.stderr.split() == []
