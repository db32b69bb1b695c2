"""Copies of the weights in the type that autocast multiplies in, made by one foreach copy for each block of a model.

Autocast casts every weight by itself: 144 kernels for a 12-layer encoder in the forward pass and as many for the gradients
in the backward pass, each of which the host has to launch. Copied block by block the numbers are the same bits, and a
block's gradients are ready together, so that DDP still sends the upper layers' while the lower ones are computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

Slot = tuple[nn.Module, str]
"""A module and the name of a weight that it multiplies by."""
_blocks_of: WeakKeyDictionary[nn.Module, list[list[Slot]]] = WeakKeyDictionary()


@contextmanager
def half_weights(module: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Let the products inside `module` read copies of their weights in `dtype`; gradients reach the weights themselves.

    Only weights that autocast would cast take part: those of linear layers, of convolutions, and those that a module of
    ours names in `products`. Norms and embeddings stay as they are. The weights must not change inside the block.
    """
    replaced: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for block in _blocks(module):
            weights = [cast(Tensor, part._parameters[name]) for part, name in block]
            for (part, name), weight, copy in zip(block, weights, _copies(weights, dtype), strict=True):
                replaced.append((cast("dict[str, Any]", part._parameters), name, weight))
                part._parameters[name] = copy  # type: ignore[assignment]
        yield
    finally:
        for parameters, name, weight in replaced:
            parameters[name] = weight


def _copies(weights: Sequence[Tensor], dtype: torch.dtype) -> Sequence[Tensor]:
    if all(weight.dtype == dtype for weight in weights):
        return weights
    if not torch.is_grad_enabled():
        return _foreach_cast(weights, dtype)
    copies: tuple[Tensor, ...] = _Copies.apply(dtype, *weights)  # type: ignore[no-untyped-call]
    return copies


def _foreach_cast(tensors: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    found = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
    torch._foreach_copy_(found, list(tensors))
    return found


class _Copies(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.dtype = weights[0].dtype
        return tuple(_foreach_cast(weights, dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, *_foreach_cast(gradients, ctx.dtype)


def _blocks(module: nn.Module) -> list[list[Slot]]:
    """The slots of `module`, a list for each layer of an encoder and for each of its other parts."""
    if module not in _blocks_of:
        found: dict[str, list[Slot]] = {}
        for name, part in module.named_modules():
            for weight in _products(part):
                if part._parameters.get(weight) is not None:
                    found.setdefault(_block_name(name), []).append((part, weight))
        _blocks_of[module] = list(found.values())
    return _blocks_of[module]


def _products(part: nn.Module) -> tuple[str, ...]:
    if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d):
        return "weight", "bias"
    return tuple(getattr(part, "products", ()))


def _block_name(name: str) -> str:
    """`encoder.transformer.encoder.layer.3` of what lies in a numbered layer, else the first word."""
    parts = name.split(".")
    layer = next((i for i, part in enumerate(parts) if part.isdigit()), 0)
    return ".".join(parts[: layer + 1])
