"""What a worker trains on and with: its sentences, its context among the others, its device and precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch import distributed as dist

from tablert_dist.gpu import half_weights, is_cpu_path
from tablert_dist.schema import Sentence
from tablert_dist.text import Span
from tablert_dist.train.features import Features


@dataclass(frozen=True)
class Examples:
    """Sentences and where their tensors come from.

    `windows`: of a sentence over the encoder's limit the runs of words that it is read by, by its index. The features
    have a row for each of them in its place; only evaluation can do with several.
    """

    sentences: Sequence[Sentence]
    features: Features
    windows: Mapping[int, Sequence[Span]] = field(default_factory=dict)

    def rows(self) -> list[range]:
        """The features' rows of each sentence."""
        counts = [len(self.windows.get(i, (None,))) for i in range(len(self.sentences))]
        return [range(end - count, end) for count, end in zip(counts, accumulate(counts), strict=True)]

    def words(self) -> list[Sequence[str]]:
        """The words of each row."""
        return rows_of(self.sentences, self.windows)


def rows_of(sentences: Sequence[Sentence], windows: Mapping[int, Sequence[Span]]) -> list[Sequence[str]]:
    """The words of each sentence, or of each of its windows."""
    return [
        sentence.words[start:end]
        for i, sentence in enumerate(sentences)
        for start, end in windows.get(i, ((0, len(sentence.words)),))
    ]


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
