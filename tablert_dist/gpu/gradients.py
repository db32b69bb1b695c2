"""Gradients that stay where they are: CUDA graphs write to fixed addresses, and workers add up one buffer and not hundreds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

ALIGNED = 64
"""Each gradient starts at a multiple of this many numbers, because kernels that read 16 bytes at a time need aligned starts."""


class Gradients:
    """The gradients of `parameters` as views of one buffer, `together`; those of `apart` have memory of their own.

    Raises ValueError where the parameters are of several types or devices.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], apart: Collection[nn.Parameter] = ()) -> None:
        if len({(p.dtype, p.device) for p in parameters}) != 1:
            raise ValueError("parameters of one type on one device are needed")
        alone = {id(p) for p in apart}
        joined = [p for p in parameters if id(p) not in alone]
        starts, end = [], 0
        for parameter in joined:
            starts.append(end)
            end += -(-parameter.numel() // ALIGNED) * ALIGNED
        self.together = torch.zeros(end, dtype=parameters[0].dtype, device=parameters[0].device)
        for parameter, start in zip(joined, starts, strict=True):
            parameter.grad = self.together[start : start + parameter.numel()].view_as(parameter)
        self._buffers = [self.together]
        for parameter in parameters:
            if id(parameter) in alone:
                parameter.grad = torch.zeros_like(parameter)
                self._buffers.append(parameter.grad)
        self.parameters = list(parameters)
        self._views = [parameter.grad for parameter in self.parameters if parameter.grad is not None]

    def take(self, found: Sequence[Tensor], add: bool) -> None:
        """Take in a gradient for each of `parameters`, adding to those that are there or in their place."""
        if add:
            torch._foreach_add_(self._views, tuple(found))
        else:
            torch._foreach_copy_(self._views, tuple(found))

    def clear(self) -> None:
        """Set all to zero."""
        for buffer in self._buffers:
            buffer.zero_()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Put the gradients back after the block as they were before it."""
        before: list[Tensor] = [buffer.clone() for buffer in self._buffers]
        try:
            yield
        finally:
            for buffer, value in zip(self._buffers, before, strict=True):
                buffer.copy_(value)
