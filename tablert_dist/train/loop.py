"""The training loop: a generator of epoch reports that knows nothing of Ray, MLflow or files (docs/concepts.md#training)."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from tablert_dist.batching import training_batches
from tablert_dist.config import Config, OptimConfig
from tablert_dist.errors import OutOfMemory, RunError, counted
from tablert_dist.gpu import is_cpu_path
from tablert_dist.model import TableModel
from tablert_dist.tags import TagSet
from tablert_dist.train.ahead import prepared
from tablert_dist.train.context import ALONE, Examples, TrainContext, all_reduce
from tablert_dist.train.position import Position, RankState, gathered, rng_state, set_rng_state
from tablert_dist.train.readings import STEPS_A_READ, Norms, Readings
from tablert_dist.train.stopping import NEVER, Stop
from tablert_dist.train.trainer import Trainer, make_trainer

log = logging.getLogger(__name__)
Progress = Callable[[int, int, int, float], None]
"""Called with epoch, step, steps in the epoch, and the step's loss a sentence on this worker, whenever a step is read."""


@dataclass(frozen=True)
class EpochReport:
    """One epoch of training, summed over all workers."""

    epoch: int
    loss_per_sentence: float
    learning_rate: float
    gradient_norms: Norms
    seconds: float
    sentences: int
    optimizer_state: Callable[[], dict[str, Any]]
    position: Callable[[], Position]
    """After the epoch's last step, for a caller that is stopped before it has scored the epoch. Every worker calls it."""

    def metrics(self) -> dict[str, float]:
        """By name."""
        return {
            "train/loss": self.loss_per_sentence,
            "train/learning_rate": self.learning_rate,
            # Of the last step, as ever: runs of earlier versions go on under this name.
            "train/gradient_norm": self.gradient_norms.last,
            "train/gradient_norm_mean": self.gradient_norms.mean,
            "train/gradient_norm_max": self.gradient_norms.largest,
            "train/seconds": self.seconds,
            "train/sentences_per_second": self.sentences / self.seconds,
        }


def train_epochs(
    model: TableModel,
    train: Examples,
    tags: TagSet,
    config: Config,
    seed: int,
    context: TrainContext = ALONE,
    optimizer_state: Mapping[str, Any] | None = None,
    first_epoch: int = 0,
    progress: Progress | None = None,
    start: Position | None = None,
    stop: Stop = NEVER,
) -> Iterator[EpochReport | Position]:
    """Train `model` in place and yield after each epoch; the caller evaluates, saves, and stops when it likes.

    `train.features` yields the inputs of the whole model, or of its head alone where the encoder is frozen.
    Same seed, machine and number of workers: same weights, also when resumed with `optimizer_state` at `first_epoch`, or
    in the middle of it at `start`. Where `stop` asks any of the workers, all yield their Position after the same step,
    which is the last thing yielded. With `train.average` the model holds the mean of its weights whenever this yields a
    report. Raises RunError where the loss or its gradient is not finite, at the latest STEPS_A_READ steps after it
    happened, and where a batch does not fit in memory.
    """
    trainer = make_trainer(model, train, config, seed, context, optimizer_state)
    steps = math.ceil(len(train.sentences) / config.train.batch_size)
    _warm_up(trainer, train, tags, config, seed, first_epoch)
    for epoch in range(first_epoch, config.train.epochs):
        run = _Epoch(trainer, seed, epoch, steps, stop, start if start and start.epoch == epoch else None)
        batches = training_batches(train.features.lengths, config.train.batch_size, config.train.bucket, seed, epoch)
        with closing(prepared(trainer, train, batches[run.step :], tags, (seed, epoch))) as work:
            for step, (batch, host_step) in enumerate(work, run.step):
                run.readings.begin()
                factor = rate_factor(epoch * steps + step, steps * config.train.epochs, config.optim)
                try:
                    taken = trainer.take(host_step, factor)
                except OutOfMemory as error:
                    raise RunError(_too_large(error, train, batch, epoch, step, config)) from None
                run.step += 1
                if run.readings.add(*taken) and progress:
                    progress(epoch, step + 1, steps, run.readings.last_loss)
                if run.asked and run.step < steps:
                    yield run.position()
                    return
        yield run.end()


def _warm_up(trainer: Trainer, train: Examples, tags: TagSet, config: Config, seed: int, epoch: int) -> None:
    """Record the passes of the first epoch's shapes."""
    started, made = time.perf_counter(), 0
    batches = training_batches(train.features.lengths, config.train.batch_size, config.train.bucket, seed, epoch)
    for batch in trainer.one_of_each_shape(train, batches):
        try:
            made += trainer.warm_up(trainer.prepare(train, batch, tags, (seed, epoch)))
        except OutOfMemory as error:
            raise RunError(_too_large(error, train, batch, epoch, batches.index(list(batch)), config)) from None
    if made:
        log.info("recorded the training step for %s in %.1f s", counted(made, "shape"), time.perf_counter() - started)


class _Epoch:
    """The steps of one epoch, from its first or from a position in it."""

    def __init__(
        self, trainer: Trainer, seed: int, epoch: int, steps: int, stop: Stop, start: Position | None = None
    ) -> None:
        self.trainer, self.epoch, self.steps, self.step = trainer, epoch, steps, start.step if start else 0
        self._stop, self._context = stop, trainer.context
        self._started = time.perf_counter() - (start.seconds if start else 0.0)
        several = self._context.world_size > 1
        every = 1 if is_cpu_path(self._context.device) else STEPS_A_READ
        self.readings = Readings(epoch, trainer.config.optim, every, self._any_asked if several else None, self.step)
        if start:
            own = start.ranks[self._context.rank]
            self.readings.loss, self.readings.sentences, self.readings.norms = own.loss, own.sentences, start.norms
            set_rng_state(own.rng, self._context.device)
        else:
            seed_everything(seed, epoch, self._context.rank)
        trainer.mean.begin_epoch()
        trainer.parallel.module.train()

    @property
    def asked(self) -> bool:
        """Whether the training is to end after this step: with several workers, what they agreed on at the last read."""
        return self.readings.asked if self._context.world_size > 1 else self._stop.asked

    def _any_asked(self) -> Callable[[], Tensor]:
        asked = torch.full((1,), float(self._stop.asked), device=self._context.device)
        work = dist.all_reduce(asked, async_op=True)

        def answer() -> Tensor:
            work.wait()
            return asked

        return answer

    def end(self) -> EpochReport:
        """After the last step."""
        self.readings.read()
        readings = self.readings
        total = torch.tensor([readings.loss, readings.sentences], dtype=torch.float64)
        all_reduce(total, self._context)
        self.trainer.mean.end_epoch()
        return EpochReport(
            self.epoch,
            float(total[0] / total[1]),
            self.trainer.learning_rate,
            readings.norms,
            time.perf_counter() - self._started,
            int(total[1]),
            self.trainer.state,
            self.position,
        )

    def position(self) -> Position:
        """After the step that was taken last, the model holding its own weights."""
        self.readings.read()
        self.trainer.mean.begin_epoch()
        seconds, device = time.perf_counter() - self._started, self._context.device
        own = RankState(self.readings.loss, self.readings.sentences, rng_state(device))
        ranks = gathered(own, self._context)
        return Position(self.epoch, self.step, self.steps, seconds, self.readings.norms, ranks, self.trainer.state())


def _too_large(error: OutOfMemory, train: Examples, batch: Sequence[int], epoch: int, step: int, config: Config) -> str:
    longest = max(train.features.lengths[i] for i in batch)
    checkpointing = "" if config.model.gradient_checkpointing else "set model.gradient_checkpointing=true, "
    return (
        f"{error} at epoch {epoch + 1}, step {step + 1}, on {len(batch)} sentences of up to {longest} words: "
        f"{checkpointing}raise train.accumulation (now {config.train.accumulation}), or lower train.batch_size"
    )


def rate_factor(step: int, steps: int, config: OptimConfig) -> float:
    """The learning rate's share of its maximum at `step` of `steps`: linear warm-up, then decay to 0."""
    warmup = round(config.warmup * steps)
    if step < warmup:
        return step / warmup
    left = (steps - step) / max(1, steps - warmup)
    return left if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * (1 - left)))


def seed_everything(seed: int, epoch: int, rank: int) -> None:
    """Set torch's random state from (seed, epoch, rank), so that none needs to be stored to resume."""
    torch.manual_seed(int(np.random.SeedSequence((seed, epoch, rank)).generate_state(1, np.uint64)[0] >> np.uint64(1)))


def agreed(stop: Stop, context: TrainContext) -> bool:
    """Whether `stop` asks any of the workers; every one calls it."""
    asked = torch.tensor([float(stop.asked)])
    all_reduce(asked, context)
    return bool(asked[0])
