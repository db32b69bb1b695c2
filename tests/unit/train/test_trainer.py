"""The trainer: its step on either path, a worker's share, shapes recorded before, its state, the optimiser's groups."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tablert_dist.batching import rank_share
from tablert_dist.gpu import Ladder, gpu_path
from tablert_dist.train.context import TrainContext
from tablert_dist.train.step import backward, split_share
from tablert_dist.train.trainer import Trainer, make_optimizer, make_trainer
from tests.support.paths import BATCH, made
from tests.unit.train.test_loop import TAGS, torch_copy, weights
from tests.unit.train.test_shares import gradients

OFF = {"model.dropout": 0.0}
CPU = torch.device("cpu")


@pytest.mark.parametrize("path", ["cpu", "gpu"])
def test_a_step_is_the_share_the_norm_before_clipping_and_the_rates(
    path: str, tiny_encoder: str, tmp_path: Path
) -> None:
    with gpu_path() if path == "gpu" else nullcontext():
        model, train, config = made(
            tiny_encoder, tmp_path, **OFF, **{"optim.clip_norm": 0.5, "optim.lr": 1e-2, "optim.encoder_lr": 1e-3}
        )
        trainer = make_trainer(model, train, config, 1)
        model.eval()
        loss = backward(model, train, BATCH, TAGS)
        expected = gradients(model)
        norm = float(torch.cat([g.flatten() for g in expected]).norm())
        seen: dict[str, Any] = {}

        def keep(optimizer: Any, args: Any, kwargs: Any) -> None:
            seen["gradients"] = [p.grad.clone() for p in model.parameters() if p.grad is not None and p.grad.any()]
            seen["rates"] = sorted({group["lr"] for group in optimizer.param_groups})

        trainer.optimizer.register_step_pre_hook(keep)
        before = weights(model)
        found = trainer.step(train, BATCH, TAGS, 0.25, (1, 0))
    assert float(found[0]) == pytest.approx(float(loss), rel=1e-5)
    assert float(found[1]) == pytest.approx(norm, rel=1e-4) and norm > 0.5 and found[2] == len(BATCH)
    assert seen["rates"] == pytest.approx([0.25e-3, 0.25e-2]) and trainer.learning_rate == pytest.approx(0.25e-2)
    total = float(torch.cat([g.flatten() for g in seen["gradients"]]).norm())
    assert total == pytest.approx(0.5, rel=1e-3), "clipped"
    assert any(not torch.equal(value, before[name]) for name, value in weights(model).items())
    if path == "cpu":
        assert all(p.grad is None for p in model.parameters()), "nothing is left for the next step"
    assert trainer.state()["param_groups"] and trainer.state()["state"]


@pytest.mark.parametrize("world", [1, 2])
def test_a_worker_prepares_its_own_share(world: int, tiny_encoder: str, tmp_path: Path) -> None:
    model, train, config = made(tiny_encoder, tmp_path, **{"train.accumulation": 2, "model.frozen": True})
    for rank in range(world):
        own = Trainer(model, config, replace(TrainContext(), rank=rank))
        own.context = TrainContext(rank, world)
        step = own.prepare(train, BATCH, TAGS, (1, 0))
        share = rank_share(BATCH, train.features.lengths, rank, world)
        parts = split_share(share, train.features.lengths, 2)
        assert step.sentences == len(share) and step.rows is None
        assert [p.inputs[0].shape[0] for p in step.pieces] == [len(part) for part in parts], (
            "not in groups: nothing pads"
        )


def test_sentences_of_similar_length_go_together_where_the_encoder_is_trained(
    tiny_encoder: str, tmp_path: Path
) -> None:
    model, train, config = made(tiny_encoder, tmp_path, **{"train.batch_size": 12})
    trainer = Trainer(model, config)
    whole = range(12)
    groups = split_share(whole, train.features.lengths, 1, True)
    sizes = [p.inputs[0].shape[0] for p in trainer.prepare(train, whole, TAGS, (1, 0)).pieces]
    assert sizes == ([12] if model.encoder.packs else [len(g) for g in groups]) and len(groups) > 1


def test_one_batch_of_each_shape_is_warmed_up_by_the_gpus_path(tiny_encoder: str, tmp_path: Path) -> None:
    model, train, config = made(tiny_encoder, tmp_path, **OFF)
    batches = [[0, 1], [0, 1], [3, 7], [2, 3, 7], [1, 0]]
    plain = make_trainer(model, train, config, 1)
    assert plain.one_of_each_shape(train, batches) == []
    assert plain.warm_up(plain.prepare(train, [0, 1], TAGS, (1, 0))) == 0, "a CPU records nothing"
    with gpu_path():
        trainer = make_trainer(model, train, config, 1)
        assert isinstance(trainer._ladder, Ladder)
        chosen = trainer.one_of_each_shape(train, batches)
        shapes = [trainer._ladder.of(train.features.sizes(batch)) for batch in batches]
        assert chosen == [b for i, b in enumerate(batches) if shapes[i] not in shapes[:i]] and len(chosen) > 1
        model.eval()
        step = trainer.prepare(train, [3, 7], TAGS, (1, 0))
        rows = shapes[2]
        assert step.pieces[0].inputs[0].shape == (rows.rows, rows.subwords)
        assert trainer.warm_up(step) == 1 and trainer.warm_up(step) == 0
        assert model.training, "recorded as in training"
        off = make_trainer(
            model, train, config.model_copy(update={"train": config.train.model_copy(update={"cuda_graphs": False})}), 1
        )
        assert off._ladder is None


def test_a_trainer_goes_on_from_its_state(tiny_encoder: str, tmp_path: Path) -> None:
    options = {**OFF, "train.average": 0.5}
    model, train, config = made(tiny_encoder, tmp_path, **options)
    through = Trainer(model, config)
    through.step(train, BATCH, TAGS, 1.0, (1, 0))
    state, held = torch_copy(through.state()), weights(model)
    again, _, _ = made(tiny_encoder, tmp_path, **options)
    again.load_state_dict(held)
    resumed = make_trainer(again, train, config, 1, optimizer_state=state)
    for trainer in (through, resumed):
        trainer.trainable.eval()
        trainer.step(train, [1, 4], TAGS, 0.5, (1, 0))
    assert all(torch.equal(value, weights(again)[name]) for name, value in weights(model).items())
    assert resumed.learning_rate == through.learning_rate == pytest.approx(0.5 * config.optim.lr)
    mean = resumed.state()["mean_weights"]
    assert all(torch.equal(value, mean[name]) for name, value in through.state()["mean_weights"].items())


def test_the_optimisers_groups(tiny_encoder: str, tmp_path: Path) -> None:
    model, _, config = made(
        tiny_encoder, tmp_path, **{"optim.lr": 1e-2, "optim.encoder_lr": 1e-4, "optim.weight_decay": 0.3}
    )
    encoder = {id(p) for p in model.encoder.parameters()}
    optimizer = make_optimizer(model, model, config.optim, CPU)
    rows = [(g["lr"], g["initial_lr"], g["weight_decay"], g["fused"]) for g in optimizer.param_groups]
    assert rows == [
        (1e-4, 1e-4, 0.3, True), (1e-4, 1e-4, 0.0, True), (1e-2, 1e-2, 0.3, True), (1e-2, 1e-2, 0.0, True)
    ]  # fmt: skip
    for group in optimizer.param_groups:
        assert {id(p) in encoder for p in group["params"]} == {group["lr"] == 1e-4}
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(model.parameters()))
    model.encoder.requires_grad_(False)
    trained = make_optimizer(model, model, config.optim, CPU).param_groups
    assert sum(len(g["params"]) for g in trained) == len(list(model.head.parameters()))
    assert not make_optimizer(model, model, config.optim, torch.device("mps")).param_groups[0]["fused"]
