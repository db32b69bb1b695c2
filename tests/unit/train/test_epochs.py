"""The loop around the steps: what an epoch reports, when it stops, what it says of a batch that does not fit."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tablert_dist.batching import training_batches
from tablert_dist.config import Config, load_config
from tablert_dist.errors import OutOfMemory, RunError, counted
from tablert_dist.gpu import gpu_path
from tablert_dist.train import loop
from tablert_dist.train.context import ALONE, TrainContext
from tablert_dist.train.loop import EpochReport, agreed, rate_factor, seed_everything, train_epochs
from tablert_dist.train.position import Position
from tablert_dist.train.readings import Norms
from tablert_dist.train.stopping import NEVER, Never
from tests.support.paths import made
from tests.unit.train.test_loop import TAGS, torch_copy, weights

OFF = {"model.dropout": 0.0, "train.epochs": 2, "train.batch_size": 5}


class Asks(Never):
    """Asks the training to stop after `looks` looks at it."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    @property
    def asked(self) -> bool:  # type: ignore[override]
        self.looks -= 1
        return self.looks < 0


def optim(**values: Any) -> Any:
    return load_config(None, {f"optim.{key}": value for key, value in values.items()}).optim


def test_the_rate_rises_in_a_line_and_falls_to_zero() -> None:
    linear, cosine = (optim(warmup=0.25, schedule=name) for name in ("linear", "cosine"))
    assert [rate_factor(step, 8, linear) for step in range(9)] == pytest.approx(
        [0, 0.5, 1, 5 / 6, 4 / 6, 0.5, 2 / 6, 1 / 6, 0]
    )
    falling = [0.5 * (1 + math.cos(math.pi * n / 6)) for n in range(7)]
    assert [rate_factor(step, 8, cosine) for step in range(9)] == pytest.approx([0, 0.5, *falling])
    none = optim(warmup=0.0)
    assert [rate_factor(step, 2, none) for step in range(3)] == [1.0, 0.5, 0.0]
    assert rate_factor(1, 1, optim(warmup=1.0)) == 0.0, "all of it is warm-up"
    assert rate_factor(3, 7, optim(warmup=0.5)) == 0.75, "half of 7 steps are 4"
    assert rate_factor(1, 2, optim(warmup=0.5)) == 1.0, "one step is left after the warm-up"


def test_the_random_state_is_numpys_of_seed_epoch_and_rank() -> None:
    for key in ((1, 0, 0), (1, 2, 3)):
        seed_everything(*key)
        found = torch.rand(3).tolist()
        state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(state) // 2)
        assert torch.rand(3).tolist() == found, "as in every version: a run is resumed with it"


def test_one_worker_agrees_with_itself() -> None:
    assert agreed(Asks(0), ALONE) is True and agreed(NEVER, ALONE) is False


def test_metrics_have_the_names_that_are_recorded() -> None:
    report = EpochReport(3, 1.5, 0.01, Norms(2.0, 9.0, 6.0, 3), 4.0, 10, dict, lambda: None)  # type: ignore[arg-type, return-value]
    assert report.metrics() == {
        "train/loss": 1.5,
        "train/learning_rate": 0.01,
        "train/gradient_norm": 2.0,
        "train/gradient_norm_mean": 3.0,
        "train/gradient_norm_max": 6.0,
        "train/seconds": 4.0,
        "train/sentences_per_second": 2.5,
    }


def test_an_epoch_reports_its_loss_a_sentence_its_rate_and_its_progress(
    tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, train, config = made(tiny_encoder, tmp_path, **OFF, **{"optim.lr": 1e-2})
    clock = iter(range(1000))
    monkeypatch.setattr(loop.time, "perf_counter", lambda: float(next(clock)))
    taken: list[tuple[float, int]] = []
    before = loop.Trainer.take

    def take(self: Any, step: Any, factor: float) -> Any:
        found = before(self, step, factor)
        taken.append((float(found[0]), found[2]))
        return found

    monkeypatch.setattr(loop.Trainer, "take", take)
    calls: list[tuple[int, int, int, float]] = []
    reports = list(train_epochs(model, train, TAGS, config, 1, progress=lambda *at: calls.append(at)))
    assert [c[:3] for c in calls] == [(e, s, 3) for e in (0, 1) for s in (1, 2, 3)]
    assert [c[3] for c in calls] == pytest.approx([loss / n for loss, n in taken])
    assert [n for _, n in taken] == [5, 5, 2] * 2
    for epoch, report in enumerate(reports):
        assert isinstance(report, EpochReport) and report.epoch == epoch and report.sentences == 12
        mean = sum(loss for loss, _ in taken[3 * epoch :][:3]) / 12
        assert report.loss_per_sentence == pytest.approx(mean, rel=1e-12), "summed in float64"
        assert report.learning_rate == pytest.approx(1e-2 * rate_factor(3 * epoch + 2, 6, config.optim))
        assert 0 < report.seconds < 1000 and report.gradient_norms.steps == 3
    assert reports[-1].optimizer_state()["state"]


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_a_position_is_what_was_done_and_a_training_goes_on_from_it(
    average: float, tiny_encoder: str, tmp_path: Path
) -> None:
    options = {**OFF, "model.dropout": 0.3, "train.average": average}
    through, train, config = made(tiny_encoder, tmp_path, **options)
    whole = list(train_epochs(through, train, TAGS, config, 1))
    model, _, _ = made(tiny_encoder, tmp_path, **options)
    first, position = list(train_epochs(model, train, TAGS, config, 1, stop=Asks(4)))
    assert isinstance(first, EpochReport) and isinstance(position, Position)
    assert (position.epoch, position.step, position.steps) == (1, 2, 3) and position.norms.steps == 2
    assert [rank.sentences for rank in position.ranks] == [10]
    assert position.seconds > 0
    again, _, _ = made(tiny_encoder, tmp_path, **options)
    again.load_state_dict(weights(model))
    torch.manual_seed(5)
    state = torch_copy(position.optimizer)
    calls: list[tuple[int, ...]] = []
    start = Position(**{**position.__dict__, "seconds": 500.0})
    (last,) = train_epochs(
        again, train, TAGS, config, 1, optimizer_state=state, first_epoch=1, start=start,
        progress=lambda *at: calls.append(at[:3]),
    )  # fmt: skip
    assert calls == [(1, 3, 3)] and 500.0 < last.seconds < 560.0
    assert last.sentences == 12 and last.gradient_norms == whole[1].gradient_norms
    assert last.loss_per_sentence == whole[1].loss_per_sentence
    assert all(torch.equal(value, weights(again)[name]) for name, value in weights(through).items())


def test_the_epochs_after_a_position_begin_at_their_first_step(tiny_encoder: str, tmp_path: Path) -> None:
    model, train, config = made(tiny_encoder, tmp_path, **OFF)
    (start,) = train_epochs(model, train, TAGS, config, 1, stop=Asks(0))
    assert isinstance(start, Position) and (start.epoch, start.step) == (0, 1)
    calls: list[tuple[int, ...]] = []
    state = torch_copy(start.optimizer)
    reports = list(
        train_epochs(model, train, TAGS, config, 1, ALONE, state, 0, lambda *at: calls.append(at[:2]), start)
    )
    assert calls == [(0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
    assert [(r.epoch, r.sentences) for r in reports] == [(0, 12), (1, 12)]


def test_after_the_last_step_of_an_epoch_nothing_is_left_to_stop(tiny_encoder: str, tmp_path: Path) -> None:
    model, train, config = made(tiny_encoder, tmp_path, **{**OFF, "train.average": 0.5})
    own = iter(train_epochs(model, train, TAGS, config, 1, stop=Asks(2)))
    report = next(own)
    assert isinstance(report, EpochReport) and report.epoch == 0, "asked at its last step: the epoch is complete"
    mean = weights(model)
    position = report.position()
    assert (position.epoch, position.step, position.steps) == (0, 3, 3)
    assert any(not torch.equal(value, mean[name]) for name, value in weights(model).items()), (
        "its own weights, not the mean"
    )
    assert "mean_weights" in position.optimizer
    later = next(own)
    assert isinstance(later, Position) and (later.epoch, later.step) == (1, 1)
    assert next(own, None) is None


def refusing(monkeypatch: pytest.MonkeyPatch, name: str, after: int) -> None:
    """Let a trainer's method run out of memory at its call number `after`."""
    before, calls = getattr(loop.Trainer, name), iter(range(1000))

    def method(self: Any, *args: Any) -> Any:
        if next(calls) == after:
            raise OutOfMemory("CPU: out of memory")
        return before(self, *args)

    monkeypatch.setattr(loop.Trainer, name, method)


def says(config: Config, step: int, lengths: list[int], checkpointing: bool) -> str:
    batch = training_batches(lengths, 5, config.train.bucket, 1, 0)[step]
    return (
        f"CPU: out of memory at epoch 1, step {step + 1}, on {len(batch)} sentences of up to {max(lengths[i] for i in batch)} "
        f"words: {'' if checkpointing else 'set model.gradient_checkpointing=true, '}raise train.accumulation (now 2), "
        "or lower train.batch_size"
    )


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_batch_that_does_not_fit_is_named(
    checkpointing: bool, tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"train.accumulation": 2, "model.gradient_checkpointing": checkpointing, "train.bucket": True}
    model, train, config = made(tiny_encoder, tmp_path, **OFF, **options)
    refusing(monkeypatch, "take", 2)
    with pytest.raises(RunError) as error:
        list(train_epochs(model, train, TAGS, config, 1))
    assert str(error.value) == says(config, 2, train.features.lengths, checkpointing)
    assert not isinstance(error.value, OutOfMemory)


def test_a_batch_that_does_not_fit_is_named_also_while_it_is_recorded(
    tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gpu_path():
        model, train, config = made(tiny_encoder, tmp_path, **OFF, **{"train.accumulation": 2})
        monkeypatch.setattr(loop.Trainer, "one_of_each_shape", lambda self, examples, batches: batches[1:])
        refusing(monkeypatch, "warm_up", 1)
        with pytest.raises(RunError) as error:
            list(train_epochs(model, train, TAGS, config, 1))
    assert str(error.value) == says(config, 2, train.features.lengths, False)


@pytest.mark.parametrize("path", ["cpu", "gpu"])
def test_shapes_of_the_first_epoch_are_recorded_before_it_and_said(
    path: str, tiny_encoder: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[int] = []
    before = loop.Trainer.warm_up

    def warm_up(self: Any, step: Any) -> int:
        recorded.append(before(self, step))
        return recorded[-1]

    monkeypatch.setattr(loop.Trainer, "warm_up", warm_up)
    read: list[int] = []
    with gpu_path() if path == "gpu" else nullcontext(), caplog.at_level(logging.INFO, "tablert_dist.train.loop"):
        options = {"train.batch_size": 3, "train.bucket": True}
        model, train, config = made(tiny_encoder, tmp_path, **{**OFF, **options})
        reports: Iterator[Any] = train_epochs(model, train, TAGS, config, 1, progress=lambda *at: read.append(at[1]))
        next(reports)
    assert bool(recorded) == (path == "gpu")
    said = f"recorded the training step for {counted(sum(recorded), 'shape')} in"
    assert (said in caplog.text) == (path == "gpu")
    assert read == ([1, 2, 3, 4] if path == "cpu" else []), "a GPU's steps are read twenty at a time"


def test_workers_that_ask_agree_while_a_step_computes(
    tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers on the other side of a sum: this one does not ask, the other one does from the second step on."""
    sums: list[float] = []

    class Work:
        waited = False

        def wait(self) -> None:
            self.waited = True

    def all_reduce(tensor: torch.Tensor, async_op: bool = False) -> Any:
        assert async_op and tensor.shape == (1,)
        sums.append(float(tensor[0]))
        tensor += len(sums) > 1
        return Work()

    def alone(model: Any, train: Any, config: Any, seed: int, context: TrainContext, state: Any) -> Any:
        trainer = loop.Trainer(model, config)
        trainer.context = context
        return trainer

    monkeypatch.setattr(loop, "make_trainer", alone)
    monkeypatch.setattr(loop.dist, "all_reduce", all_reduce)
    monkeypatch.setattr(loop, "gathered", lambda own, context: [own, own])
    model, train, config = made(tiny_encoder, tmp_path, **OFF)
    found = list(train_epochs(model, train, TAGS, config, 1, TrainContext(0, 2)))
    assert sums == [0.0, 0.0] and len(found) == 1
    assert isinstance(found[0], Position) and found[0].step == 2 and len(found[0].ranks) == 2
