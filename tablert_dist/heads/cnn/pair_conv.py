"""The first convolution, over the table of word pairs, without building the table (docs/concepts.md#table-and-convolutions).

Axes: B batch, N words, H width of a word vector, C output channels, K side of the kernel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tablert_dist.cpu import linear


class PairConv(nn.Module):
    """K × K convolution over `table[i, j] = [row_i ; column_j]`, zero outside each sentence's own N × N table.

    Equal to `nn.Conv2d(2H, C, K, padding=K//2)` on the masked table. The kernel is linear in the two halves of a cell,
    so each half is a matrix product over N words and K shifts, spread over the table by N × K masks of zeros and ones.
    Weights lie as those products read them: `row_weight[(w, c), (h, d)]`, `column_weight[(h, c), (w, d)]`.
    """

    products = ("row_weight", "column_weight", "bias")
    """As `half_weights` reads it."""

    def __init__(self, width: int, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.width, self.channels, self.kernel_size = width, channels, kernel_size
        self.row_weight = nn.Parameter(torch.empty(kernel_size * channels, kernel_size * width))
        self.column_weight = nn.Parameter(torch.empty(kernel_size * channels, kernel_size * width))
        self.bias = nn.Parameter(torch.empty(channels))
        # As nn.Conv2d starts: kaiming-uniform with a = √5 is U(−1/√fan_in, 1/√fan_in), fan_in over both halves.
        bound = 1.0 / math.sqrt(2 * width * kernel_size**2)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, row_BNH: Tensor, column_BNH: Tensor, mask_BN: Tensor) -> Tensor:
        """[B, N, N, C]. `mask` is 1 at words; cells outside a sentence's table are unspecified."""
        B, N, _ = row_BNH.shape
        K, C = self.kernel_size, self.channels
        inside = mask_BN[..., None].to(row_BNH.dtype)
        row = linear(joined_shifts(row_BNH * inside, K), self.row_weight)
        column = linear(joined_shifts(column_BNH * inside, K), self.column_weight)
        return self.spread(row.view(B, N, K, C), column.view(B, N, K, C), mask_BN)

    def spread(self, row_BNKC: Tensor, column_BNKC: Tensor, mask_BN: Tensor) -> Tensor:
        """The outer sums over the table, [B, N, N, C], of the inner sums [B, N, K, C] of the two halves."""
        return spread(row_BNKC, column_BNKC, mask_BN, self.bias)

    def dense_weight(self) -> Tensor:
        """The same kernel as `nn.Conv2d` stores it, [C, 2H, K, K]."""
        C, H, K = self.channels, self.width, self.kernel_size
        row = self.row_weight.view(K, C, K, H).permute(1, 3, 2, 0)  # (w, c, h, d) -> (c, d, h, w)
        column = self.column_weight.view(K, C, K, H).permute(1, 3, 0, 2)  # (h, c, w, d) -> (c, d, h, w)
        return torch.cat([row, column], 1)


def spread(row_BNKC: Tensor, column_BNKC: Tensor, mask_BN: Tensor, bias_C: Tensor) -> Tensor:
    """The outer sums over the table, [B, N, N, C]: each inner sum counts where its shifted word is inside."""
    B, N, K, C = row_BNKC.shape
    # Masks and bias take the type of the products: autocast leaves `baddbmm_` alone, which refuses a mixture.
    inside_BNK = joined_shifts(mask_BN.to(row_BNKC.dtype)[..., None], K)
    # The centre tap is inside for every word: added there, the bias costs N · C and not N² · C.
    column = column_BNKC + F.pad(bias_C.to(column_BNKC.dtype)[None], (0, 0, K // 2, K // 2))
    column = column.transpose(1, 2).reshape(B, K, N * C)
    if torch.compiler.is_exporting():
        # A graph's product broadcasts: the masks need no copy for each row.
        return (inside_BNK @ column).view(B, N, N, C) + inside_BNK[:, None] @ row_BNKC
    column_part = torch.bmm(inside_BNK, column).view(B * N, N, C)
    inside_of_j = inside_BNK[:, None].expand(B, N, N, K).reshape(B * N, N, K)
    # In place: a copy of N² · C cells spared.
    return column_part.baddbmm_(inside_of_j, row_BNKC.reshape(B * N, K, C)).view(B, N, N, C)


def joined_shifts(x_BND: Tensor, kernel_size: int) -> Tensor:
    """[B, N, K · D]: as `shifts`, end to end."""
    if not torch.compiler.is_exporting():
        return shifts(x_BND, kernel_size).flatten(2)
    # What is cut off at one end is padded at the other: a node each, and no end to compute from the shape.
    p = kernel_size // 2
    return torch.cat([F.pad(x_BND, (0, 0, p - h, h - p)) if h != p else x_BND for h in range(kernel_size)], 2)


def shifts(x_BND: Tensor, kernel_size: int) -> Tensor:
    """[B, N, K, D]: at n the rows n − K//2 … n + K//2, zeros beyond the ends."""
    # Use slices: torch.onnx exports `.unfold()` with a static N (torch 2.13; cf. pytorch#57086).
    N = x_BND.shape[1]
    padded = F.pad(x_BND, (0, 0, kernel_size // 2, kernel_size // 2))
    return torch.stack([padded[:, h : h + N] for h in range(kernel_size)], 2)
