"""TablERT-CNN's table on a CPU: each sentence's own cells alone, without padding, as few as its labels depend on.

Computes what `heads/cnn/module.py` computes. Axes: B batch, N words of the longest sentence, T words of all sentences, n
words of one, H width of a word vector, K side of the kernel, C channels, R relation tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tablert_dist.cpu.gemm import linear, spare_rows
from tablert_dist.cpu.strips import hidden_rows, table_logits


class FirstLayer(Protocol):
    """As `heads/cnn/pair_conv.py`: its weights lie as the two products read them."""

    kernel_size: int
    channels: int
    row_weight: nn.Parameter
    column_weight: nn.Parameter
    bias: nn.Parameter

    def spread(self, row_BNKC: Tensor, column_BNKC: Tensor, mask_BN: Tensor) -> Tensor:
        """The outer sums over the table, [B, N, N, C]."""
        ...


class LastLayer(Protocol):
    """As `heads/cnn/tap_conv.py`."""

    outputs: int
    weight: nn.Parameter
    bias: nn.Parameter


class Layers(Protocol):
    """The head, as far as it is read here."""

    middle: nn.ModuleList
    hidden: list[int]
    from_hidden: bool

    @property
    def pair(self) -> FirstLayer:
        """The first layer."""
        ...

    @property
    def last(self) -> LastLayer | None:
        """The last layer; None where there is a single one."""
        ...

    def drop(self, words: Tensor) -> Tensor:
        """Word vectors after dropout."""
        ...

    def kept_channels(self, batch: int, channels: int, like: Tensor) -> Tensor | None:
        """Channel dropout's factor, [B, C]."""
        ...

    def upper_layers(self, table_BNNC: Tensor, factors: Sequence[Tensor | float]) -> tuple[Tensor, Tensor]:
        """The layers above the first: what the last one reads, and its outputs."""
        ...


def table_by_sentence(head: Layers, words_BNH: Tensor, mask_BN: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the last layer's outputs [B, N, N, R]; zeros beyond each sentence, cells i > j unspecified.

    And what it reads on the diagonal [B, N, C], zeros beyond each sentence, where entity tags are read from that; else None.
    """
    B, N, H = words_BNH.shape
    lengths: list[int] = mask_BN.sum(1).tolist()
    words = words_BNH.reshape(B * N, H).index_select(0, mask_BN.flatten().nonzero()[:, 0])
    row_taps, column_taps = _taps(head.pair, head.drop(words), head.drop(words), lengths)
    keeps = [head.kept_channels(B, channels, words) for channels in head.hidden]
    diagonals: list[Tensor] = []
    if head.last is not None and not head.middle:
        parts = table_logits(row_taps, column_taps, head.pair.bias, head.last.weight, keeps[0], lengths)
        parts = [part + head.last.bias for part in parts]
        if head.from_hidden:
            diagonals = _first_diagonals(row_taps, column_taps, head.pair.bias, keeps[0], lengths)
    else:
        pairs = zip(row_taps.split(lengths), column_taps.split(lengths), strict=True)
        found = [_one(head, r, c, [k if k is None else k[b] for k in keeps]) for b, (r, c) in enumerate(pairs)]
        parts = [logits for logits, _ in found]
        diagonals = [diagonal for _, diagonal in found if diagonal is not None]
    table = torch.stack([F.pad(part, (0, 0, 0, N - n, 0, N - n)) for part, n in zip(parts, lengths, strict=True)])
    if not diagonals:
        return table, None
    return table, torch.stack([F.pad(part, (0, 0, 0, N - n)) for part, n in zip(diagonals, lengths, strict=True)])


def _one(
    head: Layers, row_NKC: Tensor, column_NKC: Tensor, keeps: Sequence[Tensor | None]
) -> tuple[Tensor, Tensor | None]:
    """[n, n, R] of one sentence and the diagonal of what the last layer reads, for heads with one layer or more than two."""
    if head.last is None or torch.is_grad_enabled():
        table = head.pair.spread(row_NKC[None], column_NKC[None], row_NKC.new_ones(1, len(row_NKC)))
        if head.last is None:
            return table[0], None
        factors = [1.0 if keep is None else keep for keep in keeps]
        hidden, found = head.upper_layers(F.relu(table) * factors[0], factors[1:])
        return found[0], torch.diagonal(hidden[0]).t() if head.from_hidden else None
    # Without gradients in slabs of rows, so that memory grows with n and not with n².
    halo = (len(head.middle) + 1) * (head.pair.kernel_size // 2)
    logits = row_NKC.new_zeros(len(row_NKC), len(row_NKC), head.last.outputs)
    diagonals = []
    for start, end, above, first, cells in hidden_rows(row_NKC, column_NKC, head.pair.bias, halo):
        hidden, outputs = head.upper_layers(cells[None], [1.0] * len(head.middle))
        logits[start:end, first:] = outputs[0, above : above + end - start]
        diagonals.append(torch.diagonal(hidden[0, above : above + end - start, start - first : end - first]).t())
    return logits, torch.cat(diagonals) if head.from_hidden else None


def _first_diagonals(
    row_TKC: Tensor, column_TKC: Tensor, bias_C: Tensor, keep_BC: Tensor | None, lengths: Sequence[int]
) -> list[Tensor]:
    """[n, C] of each sentence: the cells (i, i) of the first layer after its ReLU and dropout.

    In the weights' own precision, as `table_logits`.
    """
    inside = _inside(lengths, row_TKC.shape[1], row_TKC.device)[..., None].to(bias_C.dtype)
    cells = F.relu(((row_TKC.to(bias_C.dtype) + column_TKC.to(bias_C.dtype)) * inside).sum(1) + bias_C)
    parts = list(cells.split(list(lengths)))
    return parts if keep_BC is None else [part * keep for part, keep in zip(parts, keep_BC, strict=True)]


def _taps(pair: FirstLayer, row_TH: Tensor, column_TH: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The first layer's inner sums, row and column part, [T, K, C] each, of sentences laid end to end; without the bias."""
    K, C, T = pair.kernel_size, pair.channels, len(row_TH)
    spare = (0, 0, 0, spare_rows(T))
    row = linear(F.pad(_windows(row_TH, lengths, K), spare), pair.row_weight)[:T].view(T, K, C)
    column = linear(F.pad(_windows(column_TH, lengths, K), spare), pair.column_weight)[:T].view(T, K, C)
    return row, column


def _windows(x_TH: Tensor, lengths: Sequence[int], kernel_size: int) -> Tensor:
    """[T, K · H]: at t the rows t − K//2 … t + K//2 of t's own sentence, zeros beyond its ends."""
    p = kernel_size // 2
    if not p:
        return x_TH
    inside = _inside(lengths, kernel_size, x_TH.device).to(x_TH.dtype)
    # Slices of one padded copy: their gradients add up by slices too, which an index over windows would scatter.
    padded = F.pad(x_TH, (0, 0, p, p))
    return torch.cat([padded[h : h + len(x_TH)] * inside[:, h, None] for h in range(kernel_size)], 1)


def _inside(lengths: Sequence[int], kernel_size: int, device: torch.device) -> Tensor:
    """[T, K]: whether row t − K//2 … t + K//2 lies in t's own sentence."""
    p = kernel_size // 2
    positions = torch.cat([torch.arange(n, device=device) for n in lengths])
    ends = torch.cat([torch.full((n,), n, device=device) for n in lengths])
    around = positions[:, None] + torch.arange(-p, p + 1, device=device)
    return (around >= 0) & (around < ends[:, None])
