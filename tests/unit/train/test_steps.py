"""The whole training against a loop written out here: batches, loss, clipping, AdamW, schedule; and its random state."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from tablert_dist.batching import training_batches
from tablert_dist.config import load_config
from tablert_dist.model import TableModel
from tablert_dist.model.encoder import load_encoder
from tablert_dist.schema import Sentence
from tablert_dist.tags import IGNORE
from tablert_dist.train.context import Examples, TrainContext
from tablert_dist.train.loop import EpochReport, _Epoch, train_epochs
from tablert_dist.train.stopping import NEVER
from tests.unit.train.test_loop import TAGS, make

BETAS, EPS = (0.9, 0.999), 1e-8
OPTIONS = {
    "model.dropout": 0.0, "model.cnn.hidden": [8, 6], "train.epochs": 2, "train.batch_size": 5, "optim.lr": 2e-3,
    "optim.encoder_lr": 5e-4, "optim.weight_decay": 0.1, "optim.clip_norm": 3.0, "optim.warmup": 0.34,
}  # fmt: skip
STEPS, CLIP, DECAY = 6, 3.0, 0.1
FACTORS = (0.0, 0.5, 1.0, 0.75, 0.5, 0.25)
"""12 sentences by 5 are 3 steps an epoch. Two of the six steps are warm-up, then the rate falls to 0 at the seventh."""


def loss_of(model: TableModel, sentence: Sentence, ids: Sequence[int], words: Sequence[Sequence[int]]) -> Tensor:
    """One sentence through the encoder, a table of N × N × 2H and plain convolutions; cross-entropies summed."""
    states = cast(Any, model.encoder.transformer)(input_ids=torch.tensor([ids])).last_hidden_state[0]
    vectors = torch.stack([states[pieces].amax(0) for pieces in words])
    n, head = len(vectors), cast(Any, model.head)
    table = torch.cat([vectors[:, None].expand(n, n, -1), vectors[None].expand(n, n, -1)], -1).permute(2, 0, 1)[None]
    table = F.relu(F.conv2d(table, head.pair.dense_weight(), head.pair.bias, padding=1))
    table = F.relu(F.conv2d(table, head.middle[0].weight, head.middle[0].bias, padding=1))
    table = F.conv2d(table, head.last.dense_weight(), head.last.bias, padding=1)[0].permute(1, 2, 0)
    entity = table.diagonal().t() @ head.entity.weight.t() + head.entity.bias
    gold = head.scheme.targets([sentence], TAGS, [None])
    entity_tags, relation_tags = (torch.from_numpy(gold[name][0]) for name in ("entity_tags", "relation_tags"))
    cells = [(i, j) for i in range(n) for j in range(i + 1, n)]
    assert all(relation_tags[i, j] != IGNORE for i, j in cells)
    loss = -sum(entity[i].log_softmax(-1)[entity_tags[i]] for i in range(n))
    return cast(Tensor, loss - sum(table[i, j].log_softmax(-1)[relation_tags[i, j]] for i, j in cells))


def trained_by_hand(model: TableModel, train: Examples, encoder_folder: str, seed: int) -> list[float]:
    """Two epochs of AdamW on `model` in place; the norm of each step's gradient."""
    encoded = load_encoder(encoder_folder).tokenizer.encode([s.words for s in train.sentences])
    pieces = [([*e.ids], [[*range(f, f + c)] for f, c in zip(e.first, e.count, strict=True)]) for e in encoded]
    encoder = {id(p) for p in model.encoder.parameters()}
    moments = [(p, torch.zeros_like(p), torch.zeros_like(p)) for p in model.parameters() if p.requires_grad]
    norms: list[float] = []
    for epoch in (0, 1):
        for batch in training_batches([e.words for e in encoded], 5, False, seed, epoch):
            loss = torch.stack([loss_of(model, train.sentences[i], *pieces[i]) for i in batch]).sum()
            gradients = torch.autograd.grad(loss, [p for p, _, _ in moments], allow_unused=True)
            norms.append(float(sum((g.double() ** 2).sum() for g in gradients if g is not None)) ** 0.5)
            step = len(norms)
            with torch.no_grad():
                for (p, mean, square), gradient in zip(moments, gradients, strict=True):
                    if gradient is None:
                        continue
                    clipped = gradient * min(1.0, CLIP / norms[-1])
                    rate = (5e-4 if id(p) in encoder else 2e-3) * FACTORS[step - 1]
                    mean.mul_(BETAS[0]).add_((1 - BETAS[0]) * clipped)
                    square.mul_(BETAS[1]).add_((1 - BETAS[1]) * clipped**2)
                    p.mul_(1 - rate * (DECAY if p.ndim > 1 else 0.0))
                    root = (square / (1 - BETAS[1] ** step)).sqrt()
                    p.sub_(rate * mean / (1 - BETAS[0] ** step) / (root + EPS))
    return norms


@pytest.mark.parametrize("accumulation", [1, 2])
def test_two_epochs_end_with_the_weights_of_a_loop_written_out(
    tiny_encoder: str, tmp_path: Path, accumulation: int
) -> None:
    ours, train, config = make(tiny_encoder, tmp_path, **OPTIONS, **{"train.accumulation": accumulation})
    theirs = copy.deepcopy(ours).train()
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    reports = [r for r in train_epochs(ours, train, TAGS, config, 1) if isinstance(r, EpochReport)]
    norms = trained_by_hand(theirs, train, tiny_encoder, 1)
    assert len(norms) == STEPS and min(norms) > CLIP, "every step is clipped, each by another factor"
    for report, own in zip(reports, (norms[:3], norms[3:]), strict=True):
        told = [report.metrics()[f"train/gradient_norm{part}"] for part in ("", "_mean", "_max")]
        assert told == pytest.approx([own[-1], sum(own) / 3, max(own)], rel=1e-5)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, atol=1e-6, rtol=0, msg=name)
        if "key.bias" not in name and "pooler" not in name and "position_ids" not in name:
            assert (value - before[name]).abs().max() > 1e-3, f"{name} has moved a thousand times the tolerance"


def drawn(rank: int, seed: int, epoch: int, config: Any) -> list[float]:
    """The first random numbers of an epoch on one of two workers."""
    parts: dict[str, Any] = {"begin_epoch": lambda: None, "train": lambda: None}
    module = SimpleNamespace(**parts)
    trainer = SimpleNamespace(
        context=TrainContext(rank, 2), config=config, mean=module, parallel=SimpleNamespace(module=module)
    )
    _Epoch(cast(Any, trainer), seed, epoch, 3, NEVER)
    return cast(list[float], torch.rand(4).tolist())


def test_random_state_follows_from_seed_epoch_and_rank() -> None:
    config = load_config(None, {})
    keys = [(rank, seed, epoch) for rank in (0, 1) for seed in (1, 2) for epoch in (0, 1)]
    found = {key: drawn(*key, config) for key in keys}
    assert len({tuple(numbers) for numbers in found.values()}) == len(keys), "no two alike"
    assert all(drawn(*key, config) == numbers for key, numbers in found.items()), "and each the same again"
