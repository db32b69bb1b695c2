"""SIGTERM to a training on two Ray workers, and to a search: what ran is saved, and goes on with the same bits."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tablert_dist.runs.status import read_status
from tablert_dist.storage.atomic import sha256
from tests.support.nodes import Command, train_workers_of, wait_for
from tests.support.reliability import record
from tests.support.signals import resume_words, rows, statuses, stopped
from tests.support.tiny import tiny_records, write_corpus

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def settings(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A training with dropout whose epochs take seconds."""
    records = tiny_records(12) * 24
    data = write_corpus(tmp_path_factory.mktemp("data") / "tiny", {"train": records, "dev": records[:6]})
    return {
        "data.path": str(data), "model.encoder": tiny_encoder, "model.cnn.hidden": "[16]", "optim.encoder_lr": "1e-3",
        "train.epochs": "2", "train.batch_size": "2", "model.frozen": "false",
        "export.allow": "two epochs find nothing to compare",
    }  # fmt: skip


def words(settings: dict[str, str], **changes: object) -> list[str]:
    changed = {**settings, **{key.replace("__", "."): str(value) for key, value in changes.items()}}
    return ["--no-check", *(w for key, value in changed.items() for w in ("--set", f"{key}={value}"))]


def ended(seed: Path) -> tuple[str, list[dict[str, float]]]:
    """The hash of the result's weights, and the history without times."""
    result = seed / "result.json"
    name = Path(json.loads(result.read_text())["checkpoint"]).name
    return sha256(seed / name / "model.safetensors"), rows(result)


def epoch_line(command: Command, text: str = "dev NER") -> bool:
    if text not in command.text:
        return False
    time.sleep(0.5)
    return True


@pytest.mark.parametrize("workers", [2, pytest.param(1, marks=pytest.mark.long)])
def test_workers_that_are_stopped_or_killed_lose_no_step(
    settings: dict[str, str], tmp_path: Path, workers: int
) -> None:
    options = words(settings, cluster__num_workers=workers, cluster__cpus_per_worker=1)
    with Command(tmp_path / "calm", "tablert_dist.train", "--name", "r", *options) as run:
        run.end()
    with Command(tmp_path / "cut", "tablert_dist.train", "--name", "r", *options) as run:
        code, seconds, text = stopped(run, lambda: epoch_line(run))
    cut = tmp_path / "cut" / "runs"
    assert code == 143, text
    assert [p.name for p in cut.glob("r/seed-1/partial_*")] == ["partial_002"], text
    assert statuses(cut / "mlflow.db") == {"r/seed-1": "KILLED"}
    assert read_status(cut, "r").state == "stopped"
    with Command(tmp_path / "cut" / "again", "tablert_dist.train", *resume_words(text)[1:], "--no-check") as run:
        assert "partial_002" in run.end()
    calm = ended(tmp_path / "calm" / "runs" / "r" / "seed-1")
    assert ended(cut / "r" / "seed-1") == calm
    if workers == 2:
        record(
            "a training on two workers", "SIGTERM in the middle of an epoch; then `--resume`", seconds, 0, "same bits"
        )
    with Command(tmp_path / "struck", "tablert_dist.train", "--name", "r", *options) as run:
        wait_for(lambda: epoch_line(run), running=run)
        victim = train_workers_of(run.process.pid)[-1]
        victim.kill()
        assert "resuming from" in run.end(), "the others are started again with a new one"
    assert ended(tmp_path / "struck" / "runs" / "r" / "seed-1") == calm


@pytest.mark.long
def test_sigterm_to_a_search(settings: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text('[grid]\n"optim.lr" = [1e-3, 9e-4, 8e-4, 7e-4]\n')
    options = ["--space", str(tmp_path / "space.toml"), *words(settings, tune__max_concurrent=2)]
    options += ["--set", "tune.scheduler=none"]
    with Command(tmp_path / "calm", "tablert_dist.tune", "--name", "s", *options) as run:
        run.end()
    with Command(tmp_path / "cut", "tablert_dist.tune", "--name", "s", *options) as run:
        code, seconds, text = stopped(run, lambda: epoch_line(run, " epoch 1/2 "))
    assert code == 143, text
    cut = tmp_path / "cut" / "runs"
    known = statuses(cut / "mlflow.db")
    assert known["s"] == "KILLED" and "RUNNING" not in known.values(), known
    assert list(cut.glob("s/trial-*/partial_*")), text
    assert read_status(cut, "s").state == "stopped"
    again = resume_words(text)[1:]
    again[again.index("--space") + 1] = str(tmp_path / "space.toml")
    with Command(tmp_path / "cut" / "again", "tablert_dist.tune", *again, "--no-check") as run:
        run.end()
    for i in range(4):
        calm = tmp_path / "calm" / "runs" / "s" / f"trial-0{i}"
        assert ended(cut / "s" / f"trial-0{i}") == ended(calm)
    assert set(statuses(cut / "mlflow.db").values()) == {"FINISHED"}
    record("a search", "SIGTERM in an epoch of its trials; then `--resume`", seconds, 0, "same bits")


def test_sigint_to_a_search_ends_as_sigterm_does(settings: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text('[grid]\n"optim.lr" = [1e-3, 9e-4]\n')
    options = ["--space", str(tmp_path / "space.toml"), *words(settings, tune__max_concurrent=1)]
    with Command(tmp_path / "cut", "tablert_dist.tune", "--name", "s", *options) as run:
        code, _, text = stopped(run, lambda: epoch_line(run, " starts: "), signal.SIGINT)
    assert code == 130, text
    assert resume_words(text)[0] == "tune"
