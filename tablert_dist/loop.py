"""The training loop: a generator of epoch reports that knows nothing of Ray, MLflow or files (SPEC §5)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist

from tablert_dist.averaging import RunningMean
from tablert_dist.batching import evaluation_batches, rank_share, training_batches
from tablert_dist.config import Config, OptimConfig
from tablert_dist.model import TableModel
from tablert_dist.model.engine import FeatureEngine
from tablert_dist.parallel import Parallel
from tablert_dist.schema import Sentence
from tablert_dist.scoring import Counts, count
from tablert_dist.step import ALONE, Examples, Place, backward
from tablert_dist.tables import TagSet

Progress = Callable[[int, int, int, float], None]
"""Called with epoch, step, steps in the epoch, and the step's loss a sentence on this worker."""


@dataclass(frozen=True)
class EpochReport:
    """One epoch of training, summed over all workers."""

    epoch: int
    loss_per_sentence: float
    learning_rate: float
    gradient_norm: float
    seconds: float
    sentences: int
    optimizer_state: Callable[[], dict[str, Any]]

    def metrics(self) -> dict[str, float]:
        """By name."""
        return {
            "train/loss": self.loss_per_sentence,
            "train/learning_rate": self.learning_rate,
            "train/gradient_norm": self.gradient_norm,
            "train/seconds": self.seconds,
            "train/sentences_per_second": self.sentences / self.seconds,
        }


def train_epochs(
    model: TableModel,
    train: Examples,
    tags: TagSet,
    config: Config,
    seed: int,
    place: Place = ALONE,
    optimizer_state: Mapping[str, Any] | None = None,
    first_epoch: int = 0,
    progress: Progress | None = None,
) -> Iterator[EpochReport]:
    """Train `model` in place and yield after each epoch; the caller evaluates, saves, and stops when it likes.

    `train.features` yields the inputs of the whole model, or of its head alone where the encoder is frozen.
    Same seed, machine and number of workers: same weights, also when resumed with `optimizer_state` at `first_epoch`.
    With `train.average` the model holds the mean of its weights whenever this yields.
    """
    trainable = model.trainable
    mean = RunningMean(trainable, config.train.average, optimizer_state)
    parallel = Parallel(trainable, model, place.world_size)
    optimizer = make_optimizer(trainable, model, config.optim, place.device)
    if optimizer_state is not None:
        optimizer.load_state_dict({key: optimizer_state[key] for key in ("state", "param_groups")})
    grouped = place.device.type == "cpu" and not (model.encoder.frozen or model.encoder.packs)
    steps = math.ceil(len(train.sentences) / config.train.batch_size)
    rates = [group["initial_lr"] for group in optimizer.param_groups]
    for epoch in range(first_epoch, config.train.epochs):
        started = time.perf_counter()
        seed_everything(seed, epoch, place.rank)
        mean.begin_epoch()
        parallel.module.train()
        total = torch.zeros(2, dtype=torch.float64)
        norm = 0.0
        batches = training_batches(train.features.lengths, config.train.batch_size, config.train.bucket, seed, epoch)
        for step, batch in enumerate(batches):
            factor = rate_factor(epoch * steps + step, steps * config.train.epochs, config.optim)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            share = rank_share(batch, train.features.lengths, place.rank, place.world_size)
            loss = backward(
                parallel.module, train, share, tags, config.train.accumulation, place, grouped, (seed, epoch)
            )
            parallel.reduce_rows(train.features, batch)
            norm = float(nn.utils.clip_grad_norm_(trainable.parameters(), config.optim.clip_norm))
            if not math.isfinite(norm):
                raise FloatingPointError(f"the gradient is not finite at epoch {epoch}, step {step}; lower optim.lr")
            optimizer.step()
            mean.step()
            optimizer.zero_grad(set_to_none=True)
            total += torch.tensor([loss, len(share)], dtype=torch.float64)
            if progress:
                progress(epoch, step + 1, steps, loss / max(1, len(share)))
        all_reduce(total, place)
        mean.end_epoch()
        yield EpochReport(
            epoch,
            float(total[0] / total[1]),
            float(optimizer.param_groups[-1]["lr"]),
            norm,
            time.perf_counter() - started,
            int(total[1]),
            partial(mean.state, optimizer),
        )


def evaluate(model: TableModel, examples: Examples, tags: TagSet, max_cells: int, place: Place = ALONE) -> Counts:
    """Counts over all sentences and workers; each worker predicts every W-th batch."""
    found = annotate(model, examples, tags, max_cells, place)
    counts = count(((examples.sentences[i], sentence) for i, sentence in found.items()), tags.schema)
    table = torch.from_numpy(counts.table).clone()
    all_reduce(table, place)
    return Counts(tags.schema, table.numpy())


def annotate(
    model: TableModel, examples: Examples, tags: TagSet, max_cells: int, place: Place = ALONE
) -> dict[int, Sentence]:
    """What the model finds, by the index of the sentence; each worker predicts every W-th batch."""
    found: dict[int, Sentence] = {}
    model.trainable.eval()
    for batch in evaluation_batches(examples.features.lengths, max_cells)[place.rank :: place.world_size]:
        engine = FeatureEngine(model, examples.features.inputs(batch, place.device), place.precision)
        words = [examples.sentences[i].words for i in batch]
        found.update(zip(batch, model.scheme.decode(engine, {}, words, tags), strict=True))
    return found


def make_optimizer(
    trainable: nn.Module, model: TableModel, config: OptimConfig, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW: two learning rates, no weight decay on biases and layer norms (any parameter of one dimension)."""
    encoder = {id(p) for p in model.encoder.parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in trainable.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in encoder, parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": config.encoder_lr if of_encoder else config.lr,
                "initial_lr": config.encoder_lr if of_encoder else config.lr,
                "weight_decay": config.weight_decay if decays else 0.0,
            }
            for (of_encoder, decays), parameters in sorted(groups.items(), reverse=True)
        ],
        fused=device.type in {"cpu", "cuda"},
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


def all_reduce(tensor: Tensor, place: Place) -> None:
    """Sum over the workers, in place."""
    if place.world_size > 1:
        moved = tensor.to(place.device)
        dist.all_reduce(moved)
        tensor.copy_(moved)
