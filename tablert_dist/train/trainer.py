"""What takes a training's steps: the model, behind DDP with several workers, and its optimiser (docs/concepts.md#training)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tablert_dist.batching import rank_share
from tablert_dist.config import Config, OptimConfig
from tablert_dist.gpu import in_memory, is_cpu_path
from tablert_dist.model import TableModel
from tablert_dist.tags import TagSet
from tablert_dist.train.averaging import RunningMean
from tablert_dist.train.context import ALONE, Examples, TrainContext
from tablert_dist.train.parallel import Parallel
from tablert_dist.train.step import backward


class Trainer:
    """Takes steps of AdamW on `model`, whose gradients are those of one worker whatever the number of workers.

    Every worker makes one from the same `config`, and calls `step` with the same global batches.
    """

    def __init__(
        self,
        model: TableModel,
        config: Config,
        context: TrainContext = ALONE,
        optimizer_state: Mapping[str, Any] | None = None,
    ) -> None:
        self.trainable, self.config, self.context = model.trainable, config, context
        self.mean = RunningMean(self.trainable, config.train.average, optimizer_state)
        self.parallel = Parallel(self.trainable, model, context.world_size)
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
        """Take one step on this worker's share of the global `batch`, at `factor` of the learning rates.

        Returns the share's summed loss and the norm of the whole gradient before clipping, scalars on the device, and the
        number of sentences in the share. On a GPU nothing here waits for the device. `rng_key`: as `backward`. Raises
        OutOfMemory where the share does not fit.
        """
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        train = self.config.train
        share = rank_share(batch, examples.features.lengths, self.context.rank, self.context.world_size)
        with in_memory(self.context.device):
            loss = backward(
                self.parallel.module, examples, share, tags, train.accumulation, self.context, self._grouped, rng_key
            )
            self.parallel.reduce_rows(examples.features, batch)
            norm = nn.utils.clip_grad_norm_(self.trainable.parameters(), self.config.optim.clip_norm)
            self.optimizer.step()
            self.mean.step()
            self.optimizer.zero_grad(set_to_none=True)
        return loss, norm, len(share)


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
