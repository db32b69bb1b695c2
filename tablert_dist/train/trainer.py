"""What takes a training's steps: the model, behind DDP with several workers, and its optimiser (docs/concepts.md#training)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tablert_dist.batching import rank_share
from tablert_dist.config import Config, OptimConfig
from tablert_dist.gpu import Ladder, Sizes, in_memory, is_cpu_path
from tablert_dist.model import TableModel
from tablert_dist.tags import TagSet
from tablert_dist.train.averaging import RunningMean
from tablert_dist.train.context import ALONE, Examples, TrainContext
from tablert_dist.train.parallel import Parallel
from tablert_dist.train.recorded import RecordedPasses, can_record, ladder_of
from tablert_dist.train.step import Piece, head_of, pass_pieces, pieces_of, split_share
from tablert_dist.waiting import waiting


@dataclass(frozen=True)
class HostStep:
    """A step's share of a batch, prepared on the host."""

    pieces: Sequence[Piece]
    sentences: int
    rows: Tensor | None
    """Of the word embeddings, which several workers send (train/parallel.py)."""


class Trainer:
    """Takes steps of AdamW on `model`, whose gradients are those of one worker whatever the number of workers.

    Every worker makes one from the same `config`, and takes the same global batches. `ladder`: the sizes to pad batches to
    where the device launches recorded passes (train/recorded.py); without it every batch keeps its own.
    """

    def __init__(
        self,
        model: TableModel,
        config: Config,
        context: TrainContext = ALONE,
        optimizer_state: Mapping[str, Any] | None = None,
        ladder: Ladder | None = None,
    ) -> None:
        self.trainable, self.config, self.context = model.trainable, config, context
        self.mean = RunningMean(self.trainable, config.train.average, optimizer_state)
        self.parallel = Parallel(self.trainable, model, context.world_size, recorded=ladder is not None)
        self._ladder = ladder
        self._recorded = RecordedPasses(self.trainable, context, self.parallel.apart) if ladder else None
        self.optimizer = make_optimizer(self.trainable, model, config.optim, context.device)
        if optimizer_state is not None:
            self.optimizer.load_state_dict({key: optimizer_state[key] for key in ("state", "param_groups")})
        self._rates = [group["initial_lr"] for group in self.optimizer.param_groups]
        self._grouped = is_cpu_path(context.device) and not (model.encoder.frozen or model.encoder.packs)

    @property
    def learning_rate(self) -> float:
        """Of everything but the encoder, as of the last step."""
        return float(self.optimizer.param_groups[-1]["lr"])

    def state(self) -> dict[str, Any]:
        """What a training goes on from, beside the model's weights."""
        return self.mean.state(self.optimizer)

    def step(
        self, examples: Examples, batch: Sequence[int], tags: TagSet, factor: float, rng_key: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, int]:
        """Prepare a step on the global `batch`, and take it."""
        return self.take(self.prepare(examples, batch, tags, rng_key), factor)

    def prepare(self, examples: Examples, batch: Sequence[int], tags: TagSet, rng_key: tuple[int, ...]) -> HostStep:
        """This worker's share of the global `batch`, on the host. A thread may do it. `rng_key`: as `pieces_of`."""
        share = rank_share(batch, examples.features.lengths, self.context.rank, self.context.world_size)
        head, sizes_of = head_of(self.trainable), self._ladder.of if self._ladder else _their_own
        pieces = pieces_of(
            head, examples, share, tags, self.config.train.accumulation, self._grouped, rng_key, sizes_of
        )
        if self.context.device.type == "cuda":
            pieces = [piece.pinned() for piece in pieces]
        return HostStep(pieces, len(share), self.parallel.rows_of(examples.features, batch))

    def take(self, step: HostStep, factor: float) -> tuple[Tensor, Tensor, int]:
        """Take a step at `factor` of the learning rates.

        Returns the share's summed loss and the norm of the whole gradient before clipping, scalars on the device, and the
        number of sentences in the share. On a GPU nothing here waits for the device. Raises OutOfMemory where the share
        does not fit.
        """
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        with in_memory(self.context.device):
            if self._recorded:
                loss = self._recorded(step.pieces)
            else:
                loss = pass_pieces(self.parallel.module, step.pieces, self.context)
            gradients = self._recorded.gradients if self._recorded else None
            self.parallel.reduce(step.rows, gradients)
            norm = nn.utils.clip_grad_norm_(self.trainable.parameters(), self.config.optim.clip_norm)
            self.optimizer.step()
            self.mean.step()
            if gradients is None:
                self.optimizer.zero_grad()
        return loss, norm, step.sentences

    def one_of_each_shape(self, examples: Examples, batches: Sequence[Sequence[int]]) -> list[Sequence[int]]:
        """Of the global batches, those that have a shape of this worker's recorded passes first; each once."""
        if self._ladder is None:
            return []
        lengths, found = examples.features.lengths, list[Sequence[int]]()
        known: set[Sizes] = set()
        for batch in batches:
            share = rank_share(batch, lengths, self.context.rank, self.context.world_size)
            parts = split_share(share, lengths, self.config.train.accumulation)
            sizes = {self._ladder.of(examples.features.sizes(part)) for part in parts}
            if sizes - known:
                known |= sizes
                found.append(batch)
        return found

    def warm_up(self, step: HostStep) -> int:
        """Record the passes of a step like this, where passes are recorded; return how many are new.

        Gradients and random state stay as they are. Raises OutOfMemory as `take`.
        """
        if not self._recorded:
            return 0
        self.trainable.train()
        with in_memory(self.context.device), waiting("recording the training step for the GPU"):
            return self._recorded.warm_up(step.pieces)


def _their_own(_: Sizes) -> None:
    return None


def make_trainer(
    model: TableModel,
    train: Examples,
    config: Config,
    seed: int,
    context: TrainContext = ALONE,
    optimizer_state: Mapping[str, Any] | None = None,
) -> Trainer:
    """A trainer on these examples, which records its passes where the device and the head let it."""
    ladder = ladder_of(train, config, seed, context.world_size) if can_record(model, config, context) else None
    return Trainer(model, config, context, optimizer_state, ladder)


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
