"""What a worker trains on and with: its sentences, its context among the others, its device and precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch import distributed as dist

from tablert_dist.gpu import half_weights, is_cpu_path
from tablert_dist.schema import Sentence
from tablert_dist.tokenization.windows import Windows, places, rows_of
from tablert_dist.train.features import Features


@dataclass(frozen=True)
class Examples:
    """Sentences and where their tensors come from.

    `windows`: of a sentence over the encoder's limit the runs of words that it is read by, by its index. The features
    have a row for each of them in its place; only evaluation can do with several.
    """

    sentences: Sequence[Sentence]
    features: Features
    windows: Windows = field(default_factory=dict)

    def rows(self) -> list[range]:
        """The features' rows of each sentence."""
        return places(len(self.sentences), self.windows)

    def words(self) -> list[Sequence[str]]:
        """The words of each row."""
        return rows_of([sentence.words for sentence in self.sentences], self.windows)


CPU = torch.device("cpu")


@dataclass(frozen=True)
class TrainContext:
    """This worker among the others, its device, and its autocast type (None = fp32)."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = CPU
    autocast: torch.dtype | None = None

    @contextmanager
    def precision(self, module: nn.Module) -> Iterator[None]:
        """A context for passes forward through `module`, while its weights do not change."""
        if self.autocast is None:
            yield
            return
        # The CPU's path takes the head's weights in full, also under autocast (cpu/strips.py).
        halved = nullcontext() if is_cpu_path(self.device) else half_weights(module, self.autocast)
        with torch.autocast(self.device.type, self.autocast), halved:
            yield


ALONE = TrainContext()
"""One worker, on the CPU."""


def all_reduce(tensor: Tensor, context: TrainContext) -> None:
    """Sum over the workers, in place."""
    if context.world_size > 1:
        moved = tensor.to(context.device)
        dist.all_reduce(moved)
        tensor.copy_(moved)
