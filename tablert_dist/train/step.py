"""One training step: a worker's share of a batch passed forward and back, whatever the head (docs/concepts.md#training)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tablert_dist.batching import length_groups
from tablert_dist.model import Head, TableModel
from tablert_dist.tags import TagSet
from tablert_dist.train.context import ALONE, Examples, TrainContext
from tablert_dist.train.features import to_device


def backward(
    module: nn.Module,
    examples: Examples,
    share: Sequence[int],
    tags: TagSet,
    parts: int = 1,
    context: TrainContext = ALONE,
    grouped: bool = False,
    rng_key: tuple[int, ...] = (0,),
) -> Tensor:
    """Add one worker's share of a batch to the gradients, in `parts`; return the summed loss of the share, on its device.

    `grouped` passes sentences of similar length together, for a module that pads: less padding, the same gradients.
    `rng_key` is what random targets are drawn from: seed and epoch.

    DDP averages over workers; times their number, the step is that of one worker with the whole batch.
    """
    losses: list[Tensor] = []
    # DDP needs a backward pass on every rank, so a rank with an empty share runs one sentence with its loss multiplied by 0.
    pieces = _pieces(share, examples.features.lengths, parts, grouped) if share else [[0]]
    for i, piece in enumerate(pieces):
        last = i == len(pieces) - 1
        with nullcontext() if last or not isinstance(module, DistributedDataParallel) else module.no_sync():
            loss = summed_loss(module, examples, piece, tags, context, rng_key) * (1.0 if share else 0.0)
            (loss * context.world_size).backward()
        losses.append(loss.detach())
    return torch.stack(losses).sum()


def _pieces(share: Sequence[int], lengths: Sequence[int], parts: int, grouped: bool) -> list[list[int]]:
    ordered = sorted(share, key=lambda i: -lengths[i])
    pieces = [p.tolist() for p in np.array_split(np.asarray(ordered, int), min(parts, len(share)))]
    return [group for piece in pieces for group in length_groups(piece, lengths)] if grouped else pieces


def summed_loss(
    module: nn.Module,
    examples: Examples,
    indices: Sequence[int],
    tags: TagSet,
    context: TrainContext,
    rng_key: tuple[int, ...] = (0,),
) -> Tensor:
    """The loss of one batch, summed over its sentences."""
    head = head_of(module)
    targets = targets_of(head, examples, indices, tags, context.device, rng_key)
    teacher = {name: targets[name] for name in head.teacher_inputs}
    with context.precision(inner_of(module)):
        outputs = module(*examples.features.inputs(indices, context.device), **teacher)
    return head.loss(outputs, targets)


def inner_of(module: nn.Module) -> nn.Module:
    """What is trained without DDP around it."""
    return cast(nn.Module, module.module) if isinstance(module, DistributedDataParallel) else module


def head_of(module: nn.Module) -> Head:
    """The head of what is trained: a model, its head alone, or one of them behind DDP."""
    inner = inner_of(module)
    return cast(Head, inner.head if isinstance(inner, TableModel) else inner)


def targets_of(
    head: Head,
    examples: Examples,
    indices: Sequence[int],
    tags: TagSet,
    device: torch.device,
    rng_key: tuple[int, ...] = (0,),
) -> dict[str, Tensor]:
    """Gold of one batch by name. What is drawn for a sentence follows from `rng_key` and its index, not from its batch."""
    rngs = [np.random.default_rng((*rng_key, index)) for index in indices]
    targets = head.scheme.targets([examples.sentences[i] for i in indices], tags, rngs)
    return {name: to_device(torch.from_numpy(array), device) for name, array in targets.items()}
