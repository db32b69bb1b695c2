"""A run has one owner, and the data that it was begun with: in a folder and at S3, told from the command line."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tablert_dist.storage.remote import Remote
from tests.e2e.test_cli import run
from tests.support.lines import told
from tests.support.nodes import Command, wait_for
from tests.support.reliability import record
from tests.support.signals import resume_words, stopped
from tests.support.tiny import tiny_records, write_corpus
from tests.unit.storage.test_remote import s3_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    yield from s3_server()


@pytest.fixture(params=["folder", pytest.param("S3", marks=pytest.mark.long)])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the runs are, as `train.storage`."""
    monkeypatch.setenv("TABLERT_CACHE", str(tmp_path / "cache"))
    if request.param == "folder":
        return str(tmp_path / "runs")
    return (Remote(request.getfixturevalue("s3")) / f"t{time.monotonic_ns()}").url


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    records = tiny_records(12) * 40
    return write_corpus(tmp_path / "tiny", {"train": records, "dev": records[:4]})


@pytest.fixture
def words(corpus: Path, tiny_encoder: str, storage: str) -> list[str]:
    settings = {
        "data.path": str(corpus), "model.encoder": tiny_encoder, "model.cnn.hidden": "[16]", "train.epochs": "3",
        "train.batch_size": "2", "cluster.num_workers": "0", "tracking.enabled": "false", "train.storage": storage,
    }  # fmt: skip
    return ["--no-check", *(w for key, value in settings.items() for w in ("--set", f"{key}={value}"))]


def train(folder: Path, *words: str) -> Command:
    return Command(folder, "tablert_dist.train", *words, OMP_NUM_THREADS="1")


def again(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    cwd.mkdir(exist_ok=True)
    return run("tablert_dist.train", *words, cwd=cwd)


def begun(command: Command) -> bool:
    """Whether the first epoch is over, and the second under way."""
    if "loss/sentence" not in command.text:
        return False
    time.sleep(0.5)
    return True


def state(storage: str, cwd: Path) -> dict[str, object]:
    done = run("tablert_dist.cli", "status", "r", "--json", "--storage", storage, cwd=cwd)
    return dict(json.loads(done.stdout))


def test_two_processes_do_not_train_one_run(words: list[str], storage: str, tmp_path: Path) -> None:
    with train(tmp_path / "one", "--name", "r", *words, "--set", "train.epochs=200") as first:
        wait_for(lambda: begun(first), running=first)
        assert state(storage, tmp_path)["state"] == "running"
        at = time.monotonic()
        second = again(tmp_path / "two", "--resume", "r", "--set", f"train.storage={storage}")
        seconds = time.monotonic() - at
        assert second.returncode == 2, second.stderr
        pattern = rf"error: run 'r' in \S+ is held by process {first.process.pid} on \S+, since 20.*; wait for its end"
        assert re.search(pattern, second.stderr) and len(told(second.stderr)) == 1, second.stderr
        first.process.kill()
        first.process.wait()
    dead = state(storage, tmp_path)
    assert dead["state"] == "dead" and dead["resume"], "by its process, not after ten minutes"
    with train(tmp_path / "three", "--resume", "r", "--set", f"train.storage={storage}", "--no-check") as third:
        code, _, text = stopped(third, lambda: begun(third))
    assert code == 143 and f"was held by process {first.process.pid}" in text and "taken over" in text
    ended = state(storage, tmp_path)
    assert ended["state"] == "stopped" and ended["holder"] is None
    if "://" in storage:
        assert not [name for name in Remote(storage).files() if name.endswith("lease.json")]
    else:
        record(
            "two `--resume` of one run", "at the same time", seconds, 0, "the second is refused, and says who has it"
        )


def test_a_stopped_run_goes_on_by_its_name_alone(words: list[str], storage: str, corpus: Path, tmp_path: Path) -> None:
    """And not on other data, unless that is said, which is put on record."""
    with train(tmp_path, "--name", "r", *words) as command:
        code, _, text = stopped(command, lambda: begun(command))
    assert code == 143, text
    assert state(storage, tmp_path)["state"] == "stopped"
    if "://" in storage:
        there = Remote(storage).files()
        assert "r/seed-1/partial_002/checkpoint.json" in there, "the copy is whole"
        (tmp_path / "cache").rename(tmp_path / "elsewhere")
    assert resume_words(text)[-2:] == ["--resume", "r"]
    short = ["--resume", "r", *([] if storage == str(tmp_path / "runs") else ["--set", f"train.storage={storage}"])]
    train_file = corpus / "tiny_train.json"
    before = train_file.read_text()
    train_file.write_text(before.replace("Oslo", "Rome", 1))
    refused = again(tmp_path, *short)
    assert refused.returncode == 2 and len(told(refused.stderr)) == 1, refused.stderr
    assert re.search(
        r"--resume r: the data have changed: tiny_train.json had the sha256 [0-9a-f]{8} and has [0-9a-f]{8} now; .* "
        r"--accept-changed-data",
        refused.stderr,
    )
    other = again(tmp_path, *short, "--set", "optim.lr=0.5")
    assert "optim.lr was 0.001, now 0.5" in other.stderr, "what is given is compared"
    done = again(tmp_path, *short, "--accept-changed-data")
    assert done.returncode == 0, done.stderr
    assert "partial_002" in done.stderr
    ended = state(storage, tmp_path)
    assert ended["state"] == "finished"
    if "://" in storage:
        kept = (Remote(storage).read("r/run.json") or b"").decode()
    else:
        kept = (tmp_path / "runs" / "r" / "run.json").read_text()
    (accepted,) = json.loads(kept)["accepted"]
    assert accepted["changed"][0].startswith("tiny_train.json had the sha256")
