"""A training that is asked to end between two steps, and goes on with the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tablert_dist.config import Config, load_config
from tablert_dist.errors import Stopped
from tablert_dist.runs.folder import RunFolder
from tablert_dist.runs.job import Job
from tablert_dist.storage.atomic import sha256
from tablert_dist.storage.checkpoint_folder import checkpoints, damage, partials, resumable
from tablert_dist.storage.records import sealed
from tablert_dist.train.position import Position
from tablert_dist.train.readings import Norms
from tablert_dist.train.session import Session
from tablert_dist.train.stopping import Never
from tablert_dist.train.worker import choose_context, run_worker
from tests.support.tiny import tiny_records, write_corpus

TIMES = {"train/seconds", "train/sentences_per_second", "dev/sentences_per_second"}


class AfterSteps(Never):
    """Asks from the moment that so many steps were taken."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def step(self, *at: object) -> None:
        self._left -= 1

    @property
    def asked(self) -> bool:  # type: ignore[override]
        return self._left <= 0


@pytest.fixture
def config(tiny_encoder: str, tmp_path: Path) -> Config:
    records = tiny_records(12)
    folder = write_corpus(tmp_path / "tiny", {"train": records, "dev": records[:4], "test": records[4:8]})
    return load_config(
        None,
        {"data.path": str(folder), "model.encoder": tiny_encoder, "model.cnn.hidden": [8], "train.epochs": 3,
         "train.batch_size": 3, "optim.encoder_lr": 1e-3},
    )  # fmt: skip


def changed(config: Config, **values: Any) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update=values)})


def rows(result: dict[str, Any]) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k not in TIMES} for row in result["history"]]


def ended(config: Config, folder: Path) -> tuple[str, list[dict[str, float]]]:
    """The training left alone: the hash of its weights, and its rows without times."""
    result = run_worker(Job(config, RunFolder(folder), 1), choose_context(config))
    return sha256(Path(result["checkpoint"]) / "model.safetensors"), rows(result)


# 4 steps an epoch: in the first one, after its last step (in the scoring of dev), at the start of the second, in the third.
@pytest.mark.parametrize("steps", [1, 4, 5, 11])
@pytest.mark.parametrize(
    "options",
    [{}, {"average": 0.9}, {"accumulation": 2}, {"select": "last"}],
    ids=["plain", "average", "accumulation", "last"],
)
def test_a_training_stopped_between_steps_ends_with_the_same_bits(
    config: Config, tmp_path: Path, steps: int, options: dict[str, Any]
) -> None:
    config = changed(config, **options)
    job = Job(config, RunFolder(tmp_path / "cut"), 1)
    stop = AfterSteps(steps)
    with pytest.raises(Stopped, match=rf"{(steps - 1) // 4} of 3 epochs and step {(steps - 1) % 4 + 1} of 4"):
        run_worker(job, choose_context(config), progress=stop.step, stop=stop)
    (saved,) = partials(job.folder.path)
    assert damage(saved) is None and resumable(job.folder.path) == saved
    assert len(checkpoints(job.folder.path)) == (steps - 1) // 4
    result = run_worker(job, choose_context(config))
    assert (sha256(Path(result["checkpoint"]) / "model.safetensors"), rows(result)) == ended(config, tmp_path / "calm")
    assert not partials(job.folder.path)


def test_a_training_stopped_at_every_step_ends_with_the_same_bits(config: Config, tmp_path: Path) -> None:
    config = changed(config, average=0.9)
    job = Job(config, RunFolder(tmp_path / "cut"), 1)
    stops = 0
    while True:
        stop = AfterSteps(1)
        try:
            result = run_worker(job, choose_context(config), progress=stop.step, stop=stop)
        except Stopped:
            stops += 1
            continue
        break
    assert stops == 12, "each step of each epoch"
    assert (sha256(Path(result["checkpoint"]) / "model.safetensors"), rows(result)) == ended(config, tmp_path / "calm")


def stopped_after(steps: int, config: Config, folder: Path) -> Job:
    job = Job(config, RunFolder(folder), 1)
    stop = AfterSteps(steps)
    with pytest.raises(Stopped):
        run_worker(job, choose_context(config), progress=stop.step, stop=stop)
    return job


def test_a_damaged_position_is_passed_over(config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    job = stopped_after(6, config, tmp_path / "cut")
    (saved,) = partials(job.folder.path)
    (saved / "trainer.pt").write_bytes(b"x")
    found = resumable(job.folder.path)
    assert found is not None and found.name == "epoch_001"
    result = run_worker(job, choose_context(config))
    assert "partial_002 is damaged and passed over: trainer.pt" in caplog.text
    assert rows(result) == ended(config, tmp_path / "calm")[1]


def test_a_position_of_an_earlier_version_knows_the_last_gradient_alone(config: Config, tmp_path: Path) -> None:
    """What the norms' mean and maximum are over then are the steps that follow."""
    job = stopped_after(6, config, tmp_path / "cut")
    (saved,) = partials(job.folder.path)
    state = torch.load(saved / "trainer.pt", weights_only=True)
    position = Position.of(state)
    assert position is not None and position.norms.steps == 2 and 0 < position.norms.mean <= position.norms.largest
    del state["position"]["norms"]
    earlier = Position.of(state)
    assert earlier is not None and earlier.norms == Norms(last=position.norms.last)


def test_a_position_of_another_number_of_workers_falls_back_to_the_epoch(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = stopped_after(6, config, tmp_path / "cut")
    (saved,) = partials(job.folder.path)
    state = torch.load(saved / "trainer.pt", weights_only=True)
    state["position"]["ranks"] *= 2
    torch.save(state, saved / "trainer.pt")
    card = json.loads((saved / "checkpoint.json").read_text())
    card["files"]["trainer.pt"] = sha256(saved / "trainer.pt")
    (saved / "checkpoint.json").write_text(json.dumps(sealed(card)))
    result = run_worker(job, choose_context(config))
    assert "it was saved by 2 workers, and there are 1 now; going on from" in caplog.text
    assert rows(result) == ended(config, tmp_path / "calm")[1]


def test_early_stopping_that_was_cut_off_trains_no_epoch_more(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = config.model_copy(update={"optim": config.optim.model_copy(update={"lr": 1e-12, "encoder_lr": 1e-12})})
    still = changed(still, early_stop=2, epochs=9)
    job = Job(still, RunFolder(tmp_path / "cut"), 1)
    calm = run_worker(Job(still, RunFolder(tmp_path / "calm"), 1), choose_context(still))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Session, "finish", interrupted)
        run_worker(job, choose_context(still))
    result = run_worker(job, choose_context(still))
    assert calm["epochs"] == result["epochs"] == 3 and rows(result) == rows(calm)


def interrupted(*args: object) -> None:
    raise KeyboardInterrupt
