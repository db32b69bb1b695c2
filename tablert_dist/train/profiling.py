"""Where a training step's time goes, stage by stage: what `tablert profile` prints and `bench.train_step` compares."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from tablert_dist.model import TableModel
from tablert_dist.tags import TagSet
from tablert_dist.train.context import Examples, TrainContext
from tablert_dist.train.features import to_device
from tablert_dist.train.step import targets_of


@dataclass
class Stopwatch:
    """Seconds by stage, added up. On a GPU every stage waits for its kernels, which costs a little of the total."""

    context: TrainContext
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._since = time.perf_counter()

    def start(self) -> None:
        """Forget the time since the last stage."""
        self._wait()
        self._since = time.perf_counter()

    def stage(self, name: str) -> None:
        """The time since the last call belongs to `name`."""
        self._wait()
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now

    def _wait(self) -> None:
        if self.context.device.type == "cuda":
            torch.cuda.synchronize(self.context.device)


def timed_step(
    model: TableModel,
    examples: Examples,
    batch: Sequence[int],
    tags: TagSet,
    optimizer: torch.optim.Optimizer,
    clip_norm: float,
    watch: Stopwatch,
) -> None:
    """One training step, cut at the word vectors so that encoder and head are timed apart; the result is a step's."""
    context = watch.context
    trainable = model.trainable
    trainable.train()
    watch.start()
    gold = targets_of(model.head, examples, batch, tags)
    targets = {name: to_device(tensor, context.device) for name, tensor in gold.items()}
    teacher = {name: targets[name] for name in model.head.teacher_inputs}
    inputs = examples.features.inputs(batch, context.device)
    watch.stage("encode")
    with context.precision(trainable):
        if model.encoder.frozen:
            words, mask = inputs
            cut = words
        else:
            words = model.encoder(*inputs)
            mask = (inputs[2] >= 0).any(-1)
            cut = words.detach().requires_grad_()
        watch.stage("encoder forward")
        outputs = model.head(cut, mask, **teacher)
        watch.stage("head forward")
    loss = model.head.loss(outputs, targets)
    watch.stage("loss")
    loss.backward()
    watch.stage("head backward")
    if not model.encoder.frozen:
        words.backward(cut.grad)
    watch.stage("encoder backward")
    nn.utils.clip_grad_norm_(trainable.parameters(), clip_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    watch.stage("optimiser")
