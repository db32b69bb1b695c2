"""SIGTERM and Ctrl-C to a training in the middle of an epoch: it saves, says so, and goes on with the same bits."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tablert_dist.runs.status import read_status
from tablert_dist.storage.atomic import sha256
from tests.support.nodes import Command
from tests.support.reliability import record
from tests.support.signals import resume_words, rows, statuses, stopped
from tests.support.tiny import tiny_records, write_corpus

pytestmark = pytest.mark.slow
SETTINGS = {
    "model.cnn.hidden": "[16]", "optim.encoder_lr": "1e-3", "train.epochs": "2", "train.batch_size": "2",
    "train.average": "0.9", "train.select": "last", "cluster.num_workers": "0",
}  # fmt: skip


@pytest.fixture(scope="module")
def words(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A training whose epochs are long beside the time that a test needs to hit one."""
    records = tiny_records(12) * 60
    data = write_corpus(tmp_path_factory.mktemp("data") / "tiny", {"train": records, "dev": records[:6]})
    settings = {**SETTINGS, "data.path": str(data), "model.encoder": tiny_encoder}
    return ["--no-check", *(w for key, value in settings.items() for w in ("--set", f"{key}={value}"))]


def train(folder: Path, *words: str) -> Command:
    return Command(folder, "tablert_dist.train", *words, OMP_NUM_THREADS="1")


def trained(run: Path) -> tuple[str, list[dict[str, float]]]:
    result = run / "seed-1" / "result.json"
    name = Path(json.loads(result.read_text())["checkpoint"]).name
    return sha256(run / "seed-1" / name / "model.safetensors"), rows(result)


def in_the_second_epoch(command: Command) -> bool:
    if "dev NER" not in command.text:
        return False
    time.sleep(0.5)  # the line is printed between the two epochs
    return True


@pytest.fixture(scope="module")
def calm(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, float]]]:
    folder = tmp_path_factory.mktemp("calm")
    with train(folder, "--name", "r", *words, "--set", "tracking.enabled=false") as run:
        run.end()
    return trained(folder / "runs" / "r")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.long)]
)
def test_a_signal_in_the_middle_of_an_epoch_loses_no_step(
    words: list[str], calm: tuple[str, list[dict[str, float]]], tmp_path: Path, number: int, code: int
) -> None:
    run = tmp_path / "runs" / "r"
    with train(tmp_path, "--name", "r", *words) as command:
        ended, seconds, text = stopped(command, lambda: in_the_second_epoch(command), number)
    assert ended == code, text
    assert "has ended after 1 of 2 epochs and step" in text
    assert [p.name for p in run.glob("seed-1/partial_*")] == ["partial_002"]
    assert statuses(tmp_path / "runs" / "mlflow.db") == {"r/seed-1": "KILLED"}
    assert read_status(tmp_path / "runs", "r").state == "stopped"
    verb, *rest = resume_words(text)
    assert verb == "train"
    with train(tmp_path, *rest, "--no-check") as command:
        assert "partial_002" in command.end()
    assert trained(run) == calm
    assert statuses(tmp_path / "runs" / "mlflow.db") == {"r/seed-1": "FINISHED"}
    if number == signal.SIGTERM:
        record(
            "a training in one process", "SIGTERM in the middle of an epoch; then `--resume`", seconds, 0, "same bits"
        )


def test_a_second_signal_ends_at_once(words: list[str], tmp_path: Path) -> None:
    with train(tmp_path, "--name", "r", *words, "--set", "tracking.enabled=false") as command:

        def one_went_before() -> bool:
            if in_the_second_epoch(command):
                os.kill(command.process.pid, signal.SIGSTOP)
                command.process.send_signal(signal.SIGINT)
                command.process.send_signal(signal.SIGTERM)
                return True
            return False

        code, _, _ = stopped(command, one_went_before, signal.SIGCONT)
    assert code in {-signal.SIGTERM, -signal.SIGINT}
