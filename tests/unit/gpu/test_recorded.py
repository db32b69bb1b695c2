"""Recorded passes are the steps that are launched operator by operator; here a recording is run again by the CPU."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.operators import count
from tablert_dist.gpu import Gradients, Recorder, gpu_path
from tablert_dist.train.ahead import AHEAD, prepared
from tablert_dist.train.context import TrainContext
from tablert_dist.train.loop import train_epochs
from tablert_dist.train.recorded import can_record
from tablert_dist.train.trainer import make_trainer
from tests.support.paths import BATCH, HEADS, distance, made
from tests.unit.train.test_loop import TAGS, weights

TABLES = [name for name in HEADS if name != "spert"]
BF16 = TrainContext(autocast=torch.bfloat16)
OFF = {"train.cuda_graphs": False}


def train(encoder: str, folder: Path, context: TrainContext = TrainContext(), **overrides: Any) -> Any:  # noqa: B008
    """Losses of two epochs and the weights after them, by the GPU's path."""
    with gpu_path():
        model, examples, config = made(encoder, folder, **{"train.epochs": 2, "model.dropout": 0.0, **overrides})
        reports = list(train_epochs(model, examples, TAGS, config, 1, context))
    return [r.loss_per_sentence for r in reports], weights(model)


@pytest.mark.parametrize("name", TABLES)
def test_training_is_the_same(name: str, tiny_encoder: str, tmp_path: Path) -> None:
    losses, found = train(tiny_encoder, tmp_path, **HEADS[name])
    expected_losses, expected = train(tiny_encoder, tmp_path, **HEADS[name], **OFF)
    assert losses == pytest.approx(expected_losses, rel=1e-5)
    assert distance(found, expected) < 1e-5


@pytest.mark.parametrize(
    "overrides",
    [{"train.accumulation": 2}, {"train.bucket": True}, {"train.average": 0.9}, {"train.batch_size": 1}],
)
def test_training_is_the_same_with(overrides: dict[str, Any], tiny_encoder: str, tmp_path: Path) -> None:
    expected_losses, expected = train(tiny_encoder, tmp_path, **overrides, **OFF)
    losses, found = train(tiny_encoder, tmp_path, **overrides)
    assert losses == pytest.approx(expected_losses, rel=1e-5)
    assert distance(found, expected) < 1e-5


def test_in_bf16_it_is_as_close_as_rounding(tiny_encoder: str, tmp_path: Path) -> None:
    expected, _ = train(tiny_encoder, tmp_path, BF16, **OFF)
    losses, _ = train(tiny_encoder, tmp_path, BF16)
    assert losses == pytest.approx(expected, rel=2**-8)


def trainer_of(encoder: str, folder: Path, **overrides: Any) -> Any:
    model, examples, config = made(encoder, folder, **overrides)
    model.trainable.train()
    return make_trainer(model, examples, config, 1), model, examples


def test_recording_changes_nothing(tiny_encoder: str, tmp_path: Path) -> None:
    """Dropout is on: whether a shape was recorded before or in the step itself, the draws are the same."""
    with gpu_path():
        found = []
        for early in (False, True):
            trainer, model, examples = trainer_of(tiny_encoder, tmp_path, **{"train.accumulation": 2})
            torch.manual_seed(7)
            steps = [trainer.prepare(examples, batch, TAGS, (1, 0)) for batch in ([0, 1, 2, 3, 4], BATCH)]
            if early:
                assert sum(trainer.warm_up(step) for step in steps) > 0
                assert sum(trainer.warm_up(step) for step in steps) == 0, "they are there"
            losses = [float(trainer.take(step, 1.0)[0]) for step in steps]
            found.append((losses, weights(model)))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(value, found[1][1][name]) for name, value in found[0][1].items())


def test_a_recorded_step_leaves_few_operators_to_launch(tiny_encoder: str, tmp_path: Path) -> None:
    with gpu_path():
        trainer, model, examples = trainer_of(tiny_encoder, tmp_path)
        step = trainer.prepare(examples, BATCH, TAGS, (1, 0))
        trainer.take(step, 1.0)
        counts = count(lambda: trainer.take(step, 1.0), model)
    arrays = len(step.pieces[0].tensors())
    assert not counts.waits and not counts.host_copies
    # A copy of each array, clipping and the optimiser; the pass itself is hundreds.
    assert counts.launched < arrays + 40 < 200 < counts.operators


def test_which_trainings_are_recorded(tiny_encoder: str, tmp_path: Path) -> None:
    def recorded(context: TrainContext = TrainContext(), **overrides: Any) -> bool:  # noqa: B008
        model, _, config = made(tiny_encoder, tmp_path, **overrides)
        return can_record(model, config, context)

    assert not recorded(), "on a CPU's own path"
    with gpu_path():
        assert recorded() and recorded(**{"model.head": "tablert"}) and recorded(**{"model.frozen": True})
        assert not recorded(**OFF)
        assert not recorded(**{"model.head": "spert"})
        assert not recorded(**{"model.gradient_checkpointing": True})
        assert not recorded(TrainContext(device=torch.device("mps")))


def test_where_nothing_can_be_recorded_it_trains_all_the_same(
    tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected_losses, expected = train(tiny_encoder, tmp_path)

    def refuses(self: Any, work: Any, inputs: Any) -> Any:
        work([x.clone() for x in inputs])  # its gradients must not stay
        raise RuntimeError("operation not permitted when stream is capturing\nCUDA kernel errors might be …")

    monkeypatch.setattr(Recorder, "record", refuses)
    with caplog.at_level(logging.WARNING):
        losses, found = train(tiny_encoder, tmp_path)
    assert losses == pytest.approx(expected_losses, rel=1e-5) and distance(found, expected) < 1e-5
    (line,) = [
        r.getMessage() for r in caplog.records if r.name == "tablert_dist.train.recorded" and r.levelname == "WARNING"
    ]
    assert line.startswith(
        "CUDA cannot record a training step (operation not permitted when stream is capturing): it is"
    )


def test_memory_that_runs_out_while_recording_is_no_reason_to_go_on_without(
    tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(self: Any, work: Any, inputs: Any) -> Any:
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    monkeypatch.setattr(Recorder, "record", refuses)
    from tablert_dist.errors import RunError

    with pytest.raises(
        RunError, match=r"out of memory at epoch 1, step 1, on 5 sentences of up to \d+ words: set model"
    ):
        train(tiny_encoder, tmp_path)


def test_batches_are_prepared_ahead_in_their_order(tiny_encoder: str, tmp_path: Path) -> None:
    with gpu_path():
        trainer, _, examples = trainer_of(tiny_encoder, tmp_path)
        batches = [[i, (i + 5) % 12] for i in range(12)]
        asked: list[list[int]] = []
        prepare = trainer.prepare

        def noted(examples: Any, batch: list[int], *rest: Any) -> Any:
            asked.append(batch)
            return prepare(examples, batch, *rest)

        trainer.prepare = noted
        work = prepared(trainer, examples, batches, TAGS, (1, 0))
        first, step = next(work)
        expected = prepare(examples, batches[0], TAGS, (1, 0))
        assert first == batches[0] and all(
            torch.equal(a, b) for a, b in zip(step.pieces[0].tensors(), expected.pieces[0].tensors(), strict=True)
        )
        work.close()
        assert len(asked) <= AHEAD + 1, "and no more than that"
        asked.clear()
        assert [batch for batch, _ in prepared(trainer, examples, batches, TAGS, (1, 0))] == batches == asked


def test_an_error_of_the_thread_is_the_trainings(tiny_encoder: str, tmp_path: Path) -> None:
    with gpu_path():
        trainer, _, examples = trainer_of(tiny_encoder, tmp_path)
        with pytest.raises(IndexError):
            list(prepared(trainer, examples, [[0], [99]], TAGS, (1, 0)))


def test_gradients_lie_in_one_buffer_and_are_found_again() -> None:
    layers = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 1))
    parameters = list(layers.parameters())
    gradients = Gradients(parameters, apart=[parameters[0]])
    loss = layers(torch.ones(2, 3)).sum()
    loss.backward()
    found = [p.grad.clone() for p in parameters if p.grad is not None]
    assert sum(float(g.abs().sum()) for g in found[1:]) == pytest.approx(float(gradients.together.abs().sum()))
    with gradients.kept():
        gradients.take(found, add=True)
        assert torch.equal(parameters[1].grad, 2 * found[1])  # type: ignore[arg-type]
    assert all(torch.equal(p.grad, g) for p, g in zip(parameters, found, strict=True))  # type: ignore[arg-type]
    gradients.take([2 * g for g in found], add=False)
    assert np.allclose(parameters[0].grad, 2 * found[0])  # type: ignore[arg-type]
    gradients.clear()
    assert not any(p.grad.any() for p in parameters if p.grad is not None)
    with pytest.raises(ValueError, match="one type"):
        Gradients([parameters[0], torch.nn.Parameter(torch.ones(2, dtype=torch.float64))])
