"""One training step: a worker's share of a batch prepared on the host, and passed forward and back, whatever the head
(docs/concepts.md#training)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tablert_dist.batching import length_groups
from tablert_dist.gpu import Sizes
from tablert_dist.model import Head, TableModel
from tablert_dist.tags import TagSet
from tablert_dist.train.context import ALONE, Examples, TrainContext
from tablert_dist.train.features import to_device

SizesOf = Callable[[Sizes], Sizes | None]
"""The sizes to pad a batch to; None: its own."""


@dataclass(frozen=True)
class Piece:
    """What is passed through the model at once: its inputs and targets."""

    inputs: tuple[Tensor, ...]
    targets: Mapping[str, Tensor]
    weight: float = 1.0
    """Of its loss: 0 for the sentence of a rank that has none to train on."""

    def tensors(self) -> list[Tensor]:
        """All of them, in a fixed order."""
        return [*self.inputs, *self.targets.values()]

    def replaced(self, tensors: Sequence[Tensor]) -> Piece:
        """The same piece with other tensors, in the order of `tensors()`."""
        count = len(self.inputs)
        return Piece(tuple(tensors[:count]), dict(zip(self.targets, tensors[count:], strict=True)), self.weight)

    def pinned(self) -> Piece:
        """In memory that a GPU copies from while it computes."""
        return self.replaced([tensor.pin_memory() for tensor in self.tensors()])

    def on(self, device: torch.device) -> Piece:
        """On the device."""
        return self.replaced([to_device(tensor, device) for tensor in self.tensors()])


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

    `grouped` and `rng_key`: as `pieces_of`. DDP averages over workers; times their number, the step is that of one worker
    with the whole batch.
    """
    pieces = pieces_of(head_of(module), examples, share, tags, parts, grouped, rng_key)
    return pass_pieces(module, pieces, context)


def pieces_of(
    head: Head,
    examples: Examples,
    share: Sequence[int],
    tags: TagSet,
    parts: int = 1,
    grouped: bool = False,
    rng_key: tuple[int, ...] = (0,),
    sizes_of: SizesOf = lambda _: None,
) -> list[Piece]:
    """A share of a batch in `parts`, on the host.

    `grouped` puts sentences of similar length together, for a module that pads: less padding, the same gradients.
    `rng_key` is what random targets are drawn from: seed and epoch.
    """
    # DDP needs a backward pass on every rank, so a rank with an empty share runs one sentence with its loss multiplied by 0.
    weight = 1.0 if share else 0.0
    found = []
    for indices in split_share(share, examples.features.lengths, parts, grouped) or [[0]]:
        sizes = sizes_of(examples.features.sizes(indices))
        targets = targets_of(head, examples, indices, tags, rng_key, sizes)
        found.append(Piece(examples.features.host(indices, sizes), targets, weight))
    return found


def pass_pieces(module: nn.Module, pieces: Sequence[Piece], context: TrainContext = ALONE) -> Tensor:
    """Add the pieces of one worker's share to the gradients; return the summed loss of the share, on its device."""
    losses = []
    for i, piece in enumerate(pieces):
        last = i == len(pieces) - 1
        with nullcontext() if last or not isinstance(module, DistributedDataParallel) else module.no_sync():
            losses.append(pass_piece(module, piece.on(context.device), context))
    return torch.stack(losses).sum()


def pass_piece(module: nn.Module, piece: Piece, context: TrainContext) -> Tensor:
    """Add one piece to the gradients; return its summed loss."""
    loss = loss_of(module, piece, context) * piece.weight
    (loss * context.world_size).backward()
    return loss.detach()


def loss_of(module: nn.Module, piece: Piece, context: TrainContext) -> Tensor:
    """The loss of a piece on its device, summed over its sentences."""
    head = head_of(module)
    teacher = {name: piece.targets[name] for name in head.teacher_inputs}
    with context.precision(inner_of(module)):
        outputs = module(*piece.inputs, **teacher)
    return head.loss(outputs, piece.targets)


def split_share(share: Sequence[int], lengths: Sequence[int], parts: int, grouped: bool = False) -> list[list[int]]:
    """A share in `parts`, by length; `grouped`: each again in groups of similar length. None of an empty share."""
    if not share:
        return []
    ordered = sorted(share, key=lambda i: -lengths[i])
    pieces = [p.tolist() for p in np.array_split(np.asarray(ordered, int), min(parts, len(share)))]
    return [group for piece in pieces for group in length_groups(piece, lengths)] if grouped else pieces


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
    rng_key: tuple[int, ...] = (0,),
    sizes: Sizes | None = None,
) -> dict[str, Tensor]:
    """Gold of one batch by name, on the host. What is drawn for a sentence follows from `rng_key` and its index, not from
    its batch."""
    rngs = [np.random.default_rng((*rng_key, index)) for index in indices]
    room = (sizes.rows, sizes.words) if sizes else None
    targets = head.scheme.targets([examples.sentences[i] for i in indices], tags, rngs, room)
    return {name: torch.from_numpy(array) for name, array in targets.items()}
