"""What every head's torch module has beside its weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from tablert_dist.heads.base import Scheme

Outputs = tuple[Tensor, Tensor]
"""What is said of entities, and of relations."""


class Head(nn.Module, ABC):
    """Word vectors [B, N, H] and a mask of words [B, N] in, `Outputs` out.

    Subclasses add a method for each stage of their scheme that is not the encoder, and `from_config`.
    """

    teacher_inputs: tuple[str, ...] = ()
    """Targets, by name, that training passes to `forward` as keyword arguments (teacher forcing)."""

    def __init__(self, scheme: Scheme) -> None:
        super().__init__()
        self.scheme = scheme
        self.keeps_less = False
        """Whether training computes activations again in the backward pass instead of keeping them, where it can."""

    @abstractmethod
    def loss(self, outputs: Outputs, targets: Mapping[str, Tensor]) -> Tensor:
        """The loss of a batch, summed over its sentences; `targets` are those of the scheme, by name."""
