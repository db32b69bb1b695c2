"""Every form of every head, and one step of each, for the tests of the path that a GPU takes, with and without a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tablert_dist.config import Config
from tablert_dist.model import TableModel
from tablert_dist.schema import Sentence
from tablert_dist.train.context import Examples, TrainContext
from tablert_dist.train.evaluation import annotate
from tablert_dist.train.step import Piece, head_of, loss_of, targets_of
from tablert_dist.train.trainer import Trainer
from tests.unit.train.test_loop import TAGS, make

HEADS: dict[str, dict[str, Any]] = {
    "one layer": {"model.cnn.hidden": []},
    "two layers": {"model.cnn.hidden": [16]},
    "three layers": {"model.cnn.hidden": [16, 12]},
    "tags from one layer": {"model.cnn.hidden": [], "model.cnn.entity_from": "hidden"},
    "tags from two layers": {"model.cnn.hidden": [16], "model.cnn.entity_from": "hidden"},
    "tags from three layers": {"model.cnn.hidden": [16, 12], "model.cnn.entity_from": "hidden"},
    "kernel 5": {"model.cnn.hidden": [16], "model.cnn.kernel_size": 5},
    "bilinear": {"model.cnn.bilinear": 4},
    "rotary": {"model.cnn.bilinear": 4, "model.cnn.rotary": True},
    "labels": {"model.cnn.bilinear": 4, "model.cnn.rotary": True, "model.cnn.label_width": 3},
    "distance": {"model.cnn.distance": True},
    "viterbi": {"model.cnn.decoding": "viterbi"},
    "plus": {
        "model.cnn.hidden": [16],
        "model.cnn.bilinear": 4,
        "model.cnn.distance": True,
        "model.cnn.decoding": "viterbi",
    },
    "focal": {"model.focal": 2.0, "model.relation_weight": 3.0},
    "frozen": {"model.cnn.hidden": [16], "model.frozen": True},
    "tablert": {"model.head": "tablert"},
    "spert": {"model.head": "spert"},
}
BATCH = [0, 7, 3, 10, 2]


@dataclass
class Taken:
    """What one step gave."""

    loss: float
    norm: float
    gradients: dict[str, Tensor]
    weights: dict[str, Tensor]
    found: dict[int, Sentence]


def made(encoder: str, folder: Path, **overrides: Any) -> tuple[TableModel, Examples, Config]:
    """A model, its examples as its scheme wants them, and the configuration."""
    model, train, config = make(encoder, folder, **overrides)
    if not config.model.frozen:
        prepare(model, train)
    return model, train, config


def prepare(model: TableModel, train: Examples) -> None:
    """Make the features what the model's scheme wants, as `examples_of` does in a run."""
    features: Any = train.features
    features._encoded = [model.scheme.prepare(e) for e in features._encoded]
    features.lengths = [e.words for e in features._encoded]


def one_step(model: TableModel, train: Examples, config: Config, context: TrainContext) -> Taken:
    """Take a step at full rate, and read the examples before it. On the CPU, whatever the model is on."""
    found = annotate(model, train, TAGS, 200, context)
    trainer = Trainer(model, config, context)
    model.trainable.train()
    gradients = {}

    def keep(optimizer: Any, args: Any, kwargs: Any) -> None:
        gradients.update({n: p.grad.detach().cpu().clone() for n, p in model.named_parameters() if p.grad is not None})

    trainer.optimizer.register_step_pre_hook(keep)
    torch.manual_seed(7)
    loss, norm, _ = trainer.step(train, BATCH, TAGS, 1.0, (1, 0))
    weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    return Taken(float(loss), float(norm), gradients, weights, found)


def distance(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The norm of the difference over the norm of what is expected, over all tensors."""
    assert found.keys() == expected.keys()
    apart = sum(float((found[name] - expected[name]).square().sum()) for name in expected)
    return (apart / sum(float(value.square().sum()) for value in expected.values())) ** 0.5


def summed_loss(module: nn.Module, examples: Examples, indices: Sequence[int], context: TrainContext) -> Tensor:
    """The loss of one batch, summed over its sentences."""
    piece = Piece(examples.features.host(indices), targets_of(head_of(module), examples, indices, TAGS))
    return loss_of(module, piece.on(context.device), context)
