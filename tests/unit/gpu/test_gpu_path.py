"""The path that a GPU takes, on a CPU: the CPU path's numbers, in both precisions, and no wait for the device."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.operators import count, refused_by_fake_tensors
from tablert_dist.config import load_config
from tablert_dist.errors import InputError, RunError
from tablert_dist.gpu import gpu_path, half_weights
from tablert_dist.model import build_model
from tablert_dist.model.encoder import EncoderParts, WordEncoder, load_encoder
from tablert_dist.train.context import TrainContext
from tablert_dist.train.loop import train_epochs
from tablert_dist.train.readings import STEPS_A_READ
from tablert_dist.train.trainer import Trainer
from tablert_dist.train.worker import choose_context
from tests.support.paths import BATCH, HEADS, distance, made, one_step, summed_loss
from tests.unit.train.test_loop import TAGS, weights

BF16 = TrainContext(autocast=torch.bfloat16)
ROUNDING = 2**-8
"""Of bf16: seven bits behind the leading one."""


@pytest.mark.parametrize("name", HEADS)
def test_every_head_takes_the_cpu_paths_step(name: str, tiny_encoder: str, tmp_path: Path) -> None:
    def step(context: TrainContext) -> Any:
        return one_step(*made(tiny_encoder, tmp_path, **HEADS[name], **{"model.dropout": 0.0}), context)

    expected = step(TrainContext())
    with gpu_path():
        full, half = step(TrainContext()), step(BF16)
    assert full.loss == pytest.approx(expected.loss, rel=1e-6)
    assert distance(full.gradients, expected.gradients) < 1e-5
    assert distance(full.weights, expected.weights) < 1e-5
    assert {i: _without_probabilities(s) for i, s in full.found.items()} == {
        i: _without_probabilities(s) for i, s in expected.found.items()
    }
    assert math.isfinite(half.loss)
    assert half.loss == pytest.approx(expected.loss, rel=ROUNDING)
    assert half.norm == pytest.approx(expected.norm, rel=ROUNDING)
    assert 0 < distance(half.gradients, expected.gradients) < 8 * ROUNDING, "bf16 reached every layer, and no more"
    assert half.found.keys() == expected.found.keys()
    same = sum(_without_probabilities(half.found[i]) == _without_probabilities(s) for i, s in expected.found.items())
    assert same >= len(expected.found) // 3, "an untrained head's logits lie close together, but not everywhere"


def _without_probabilities(sentence: Any) -> Any:
    entities = [(e.start, e.end, e.type) for e in sentence.entities]
    return entities, [(r.head.start, r.tail.start, r.type) for r in sentence.relations]


@pytest.mark.parametrize("name", ["two layers", "tablert", "spert"])
def test_it_learns_in_bf16(name: str, tiny_encoder: str, tmp_path: Path) -> None:
    fast = {"train.epochs": 12, "optim.encoder_lr": 5e-4, "optim.warmup": 0.0, "model.dropout": 0.0}
    with gpu_path():
        model, train, config = made(tiny_encoder, tmp_path, **HEADS[name], **fast)
        losses = [report.loss_per_sentence for report in train_epochs(model, train, TAGS, config, 1, BF16)]
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.dtype == torch.float32 for p in model.parameters()), "the weights themselves stay in full"


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_a_step_never_waits_for_the_device(
    name: str, precision: torch.dtype | None, tiny_encoder: str, tmp_path: Path
) -> None:
    """Each of two witnesses sees what the other does not (bench/operators.py)."""
    with gpu_path():
        model, train, config = made(tiny_encoder, tmp_path, **HEADS[name])
        trainer = Trainer(model, config, TrainContext(autocast=precision))
        model.trainable.train()

        def step() -> None:
            trainer.step(train, BATCH, TAGS, 1.0, (1, 0))

        step()
        counts = count(step, model)
        assert not counts.waits, counts.waits
        arrays = len(train.features.inputs(BATCH, torch.device("cpu"))) + len(
            model.scheme.targets([train.sentences[i] for i in BATCH], TAGS, [np.random.default_rng(i) for i in BATCH])
        )
        assert 0 < counts.host_copies <= arrays, "anything else is made on the device"
        # Two layers of the encoder, the rest of it, and the head: one foreach copy each.
        assert counts.weight_casts <= (4 if precision else 0)
        assert torch.float64 not in counts.made, "Apple's GPU has no float64"

        # Loading looks at values: at what the encoder's twin computes.
        parts = load_encoder(tiny_encoder)

        def make_step() -> Any:
            fake = EncoderParts(type(parts.transformer)(parts.transformer.config), parts.tokenizer, parts.pad_id)
            model = build_model(config.model, fake, TAGS)
            trainer = Trainer(model, config, TrainContext(autocast=precision))
            model.trainable.train()
            return lambda: trainer.step(train, BATCH, TAGS, 1.0, (1, 0))

        assert refused_by_fake_tensors(make_step) is None


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x.sum().item(),
        lambda x: float(x.sum()),
        lambda x: bool(x.sum() > 0),
        lambda x: x.nonzero(),
        lambda x: x[x > 0].sum(),
        lambda x: x.tolist(),
        lambda x: x.unique(),
    ],
)
def test_a_look_at_a_value_is_noticed(look: Any) -> None:
    layer = nn.Linear(3, 3)
    counted = bool(count(lambda: look(layer(torch.ones(2, 3))), layer).waits)

    def make_step() -> Any:
        fake = nn.Linear(3, 3)
        return lambda: look(fake(torch.ones(2, 3)))

    assert counted or refused_by_fake_tensors(make_step)


@pytest.mark.parametrize("model_type", ["distilbert", "roberta", "modernbert"])
def test_other_encoders_masks_wait_for_nothing_and_are_the_same(model_type: str) -> None:
    from transformers import AutoConfig, AutoModel

    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    distil = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 16}
    common = {"vocab_size": 60, "pad_token_id": 1, "max_position_embeddings": 40}
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **(distil if model_type == "distilbert" else size), **common)
    encoder = WordEncoder(AutoModel.from_config(config), frozen=False).eval()
    ids, there = torch.randint(5, 60, (3, 9)), torch.arange(9)[None] < torch.tensor([9, 4, 6])[:, None]
    inputs = (torch.where(there, ids, 1), there.long(), torch.where(there, torch.arange(9), -1)[..., None])
    expected = encoder(*inputs)
    with gpu_path():
        torch.testing.assert_close(encoder(*inputs), expected, atol=1e-5, rtol=1e-5)
        assert not count(lambda: encoder(*inputs), encoder).waits


def test_the_table_is_not_widened_under_autocast(tiny_encoder: str, tmp_path: Path) -> None:
    """A mask or a factor in fp32 would make the largest tensor of a step twice as large."""
    with gpu_path():
        model, train, _ = made(tiny_encoder, tmp_path, **{"model.cnn.hidden": [16, 12]})
        seen = []
        for layer in (*model.head.middle, model.head.last):
            layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
        summed_loss(model.train(), train, BATCH, BF16)
    assert seen == [torch.bfloat16, torch.bfloat16]


def test_half_weights_are_autocasts_own_casts(tiny_encoder: str, tmp_path: Path) -> None:
    model, train, _ = made(tiny_encoder, tmp_path, **{"model.cnn.hidden": [16, 12], "model.dropout": 0.0})
    before = dict(model.named_parameters())
    found = []
    with gpu_path():
        for ours in (True, False):
            model.train().zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                if ours:
                    with half_weights(model, torch.bfloat16):
                        loss = summed_loss(model, train, BATCH, TrainContext())
                else:
                    loss = summed_loss(model, train, BATCH, TrainContext())
            loss.backward()
            found.append({n: p.grad.clone() for n, p in model.named_parameters()})
    assert all(torch.equal(found[0][name], found[1][name]) for name in before)
    assert all(parameter is before[name] for name, parameter in model.named_parameters()), "put back"
    with pytest.raises(ZeroDivisionError), half_weights(model, torch.bfloat16):
        1 / 0
    assert all(parameter is before[name] for name, parameter in model.named_parameters()), "put back after an error"


@pytest.mark.parametrize("name", ["two layers", "three layers", "tablert", "spert"])
@pytest.mark.parametrize("on_gpu_path", [False, True])
@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_gradient_checkpointing_changes_no_gradient(
    name: str, on_gpu_path: bool, precision: torch.dtype | None, tiny_encoder: str, tmp_path: Path
) -> None:
    """With dropout on, whose draws the repetition has to make again, and on the packed rows of the CPU path."""
    found = []
    for checkpointing in (False, True):
        overrides = {**HEADS[name], "model.gradient_checkpointing": checkpointing}
        if on_gpu_path:
            with gpu_path():
                found.append(one_step(*made(tiny_encoder, tmp_path, **overrides), TrainContext(autocast=precision)))
        else:
            found.append(one_step(*made(tiny_encoder, tmp_path, **overrides), TrainContext(autocast=precision)))
    assert found[1].loss == found[0].loss
    assert distance(found[1].gradients, found[0].gradients) < (1e-6 if precision is None else ROUNDING)


def test_checkpointing_keeps_fewer_activations(tiny_encoder: str, tmp_path: Path) -> None:
    kept = []
    for checkpointing in (False, True):
        overrides = {"model.cnn.hidden": [16, 12], "model.gradient_checkpointing": checkpointing}
        model, train, _ = made(tiny_encoder, tmp_path, **overrides)
        sizes: list[int] = []

        def pack(x: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(x.numel())
            return x

        with gpu_path(), torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            summed_loss(model.train(), train, BATCH, TrainContext())
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2


def test_checkpointing_is_refused_where_the_encoder_cannot(tiny_encoder: str) -> None:
    parts = load_encoder(tiny_encoder)
    type(parts.transformer).supports_gradient_checkpointing, before = False, True
    try:
        with pytest.raises(InputError, match=r"model\.gradient_checkpointing: the encoder's architecture"):
            build_model(load_config(None, {"model.gradient_checkpointing": True}).model, parts, TAGS)
    finally:
        type(parts.transformer).supports_gradient_checkpointing = before


@pytest.mark.parametrize("on_gpu_path", [False, True])
def test_a_diverged_training_ends_in_a_sentence(on_gpu_path: bool, tiny_encoder: str, tmp_path: Path) -> None:
    steps = {"train.batch_size": 1, "train.epochs": 4, "optim.warmup": 0.0, "optim.lr": 1e30, "optim.encoder_lr": 1e30}
    model, train, config = made(tiny_encoder, tmp_path, **steps)
    seen = []
    with pytest.raises(RunError, match=r"is not finite at epoch 1, step \d+: .*lower optim.lr \(now 1e\+30\)"):
        if on_gpu_path:
            with gpu_path():
                for report in train_epochs(model, train, TAGS, config, 1):
                    seen.append(report)
        else:
            seen += train_epochs(model, train, TAGS, config, 1)
    assert not seen, "it ended in its first epoch"


def test_on_the_gpu_path_several_steps_are_read_together(tiny_encoder: str, tmp_path: Path) -> None:
    model, train, config = made(tiny_encoder, tmp_path, **{"train.batch_size": 1, "train.epochs": 2})
    told: list[tuple[int, int, int, float]] = []
    with gpu_path():
        reports = list(
            train_epochs(model, train, TAGS, config, 1, progress=lambda *at: told.append(at))  # 12 steps an epoch
        )
    assert STEPS_A_READ > 12
    assert told == []
    assert all(r.sentences == 12 and r.loss_per_sentence > 0 and r.gradient_norms.mean > 0 for r in reports)
    every, train, config = made(tiny_encoder, tmp_path, **{"train.batch_size": 1, "train.epochs": 2})
    by_step = list(train_epochs(every, train, TAGS, config, 1, progress=lambda *at: told.append(at)))
    assert [at[:3] for at in told] == [(e, s, 12) for e in range(2) for s in range(1, 13)]
    assert len(by_step) == len(reports)
    assert weights(every).keys() == weights(model).keys()


def test_the_place_of_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def context(workers: int = 1, **overrides: Any) -> TrainContext:
        changes = {f"train.{key}": value for key, value in overrides.items()}
        return choose_context(load_config(None, changes), 0, workers)

    assert context(device="cpu") == TrainContext()
    assert context(device="cpu", precision="bf16").autocast == torch.bfloat16
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=r"train\.device = cuda: torch finds no usable CUDA device"):
            context(device="cuda")
    if not torch.backends.mps.is_available():
        with pytest.raises(InputError, match=r"train\.device = mps: torch finds no usable Apple GPU"):
            context(device="mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert context(device="mps") == TrainContext(device=torch.device("mps"))
    with pytest.raises(InputError, match="Apple's GPU trains with one worker"):
        context(workers=2, device="mps")
