"""A convolution with far fewer outputs than inputs: one matrix product to K² taps a cell, then shifts and adds."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tablert_dist.cpu import linear

FEW_CHANNELS = 128
"""Up to here onnxruntime's own convolution is faster in an exported graph (`python -m bench.taps`)."""


class TapConv(nn.Module):
    """K × K convolution of [B, N, N, C] to [B, N, N, R] with zero border; `weight[(h, w, r), c]`.

    Equal to `nn.Conv2d(C, R, K, padding=K//2)`. The wide input is read once instead of K² times.
    """

    products = ("weight",)
    """As `half_weights` reads it; the bias is added to the logits, in full."""

    def __init__(self, channels: int, outputs: int, kernel_size: int) -> None:
        super().__init__()
        self.channels, self.outputs, self.kernel_size = channels, outputs, kernel_size
        self.weight = nn.Parameter(torch.empty(kernel_size**2 * outputs, channels))
        self.bias = nn.Parameter(torch.empty(outputs))
        bound = 1.0 / math.sqrt(channels * kernel_size**2)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, table_BNNC: Tensor) -> Tensor:
        """[B, U, V, R] of a table with U rows and V columns; cells outside a sentence's table must be zero in the input."""
        if torch.compiler.is_exporting() and self.channels <= FEW_CHANNELS:
            cells = F.conv2d(table_BNNC.permute(0, 3, 1, 2), self.dense_weight(), padding=self.kernel_size // 2)
            return self.bias + cells.permute(0, 2, 3, 1)
        return self.bias + gather_taps(linear(table_BNNC, self.weight), self.kernel_size)

    def dense_weight(self) -> Tensor:
        """The same kernel as `nn.Conv2d` stores it, [R, C, K, K]."""
        K = self.kernel_size
        return self.weight.view(K, K, self.outputs, self.channels).permute(2, 3, 0, 1)


def gather_taps(taps_BNNT: Tensor, kernel_size: int) -> Tensor:
    """Sum over (h, w) of tap (h, w) of the cell shifted by (h − K//2, w − K//2); zeros beyond the border."""
    K, p = kernel_size, kernel_size // 2
    if torch.compiler.is_exporting():
        return _gather_taps_exported(taps_BNNT, K)
    U, V = taps_BNNT.shape[1:3]
    padded = F.pad(taps_BNNT, (0, 0, p, p, p, p)).unflatten(3, (K, K, -1))
    parts = [padded[:, h : h + U, w : w + V, h, w] for h in range(K) for w in range(K)]
    return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def _gather_taps_exported(taps_BNNT: Tensor, kernel_size: int) -> Tensor:
    """As `gather_taps`, in 3 K² nodes of a graph instead of 6 K²: what is cut off at one end is padded at the other.

    A slice becomes a node an axis, each of which copies, and its ends are computed from the shape.
    """
    K, p = kernel_size, kernel_size // 2
    # Taps lie in the order (h, w, r).
    taps = taps_BNNT.split(taps_BNNT.shape[3] // K**2, 3)
    total: Tensor = taps[p * K + p]
    for h in range(K):
        for w in range(K):
            if (h, w) != (p, p):
                total = total + F.pad(taps[h * K + w], (0, 0, p - w, w - p, p - h, h - p))
    return total
