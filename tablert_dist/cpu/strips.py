"""First layer, ReLU, channel dropout and the last layer's taps in one pass over the cells that count, row by row.

Axes: T words of all sentences, N words of one, K side of the kernel, p = K // 2, C hidden channels, R outputs,
U rows of a strip, V its columns. Cell (u, v) of the hidden layer is read by a label in i ≤ j only if v − u ≥ −2p.
Nothing of size N² · C is kept: the backward pass computes the hidden cells again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

STRIP_CELLS = 1024
"""Hidden cells computed at once: 2 MB at 512 channels, which stays in a core's cache."""

SLAB_CELLS = 8192
"""Cells of a slab for heads of three layers and more, whose halo makes thin slabs wasteful."""


def table_logits(
    row_TKC: Tensor,
    column_TKC: Tensor,
    bias_C: Tensor,
    tap_weight_MC: Tensor,
    keep_BC: Tensor | None,
    lengths: Sequence[int],
) -> list[Tensor]:
    """The last layer's outputs without its bias, [N, N, R] for each sentence; cells i > j are unspecified.

    `row[t, w]` is tap column w of the first layer's product over rows at word t, `column[t, h]` tap row h of that over
    columns (docs/concepts.md#table-and-convolutions); `tap_weight[(h, w, r), c]`; `keep` is the factor of channel dropout, 0
    for a dropped channel.
    """
    # In the weights' own precision, also where autocast made the products in a shorter one.
    wide = [x.to(tap_weight_MC.dtype) for x in (row_TKC, column_TKC, bias_C)]
    with torch.autocast("cpu", enabled=False):
        flat: Tensor = _Strips.apply(*wide, tap_weight_MC, keep_BC, list(lengths))  # type: ignore[no-untyped-call]
    R = tap_weight_MC.shape[0] // row_TKC.shape[1] ** 2
    parts = flat.split([n * n * R for n in lengths])
    return [part.view(n, n, R) for part, n in zip(parts, lengths, strict=True)]


def hidden_rows(
    row_NKC: Tensor, column_NKC: Tensor, bias_C: Tensor, halo: int
) -> Iterator[tuple[int, int, int, int, Tensor]]:
    """The first layer after its ReLU in slabs of rows, for layers above that read `halo` cells around a cell.

    Yields (first row, end row, rows above, first column, cells [U, V, C]): the slab holds the rows asked for, up to
    `halo` rows above and below them, and the columns that labels in i ≤ j of those rows depend on. No gradient.
    """
    sentence = _Sentence(row_NKC, column_NKC, row_NKC.sum(1), column_NKC.sum(1) + bias_C, bias_C, None)
    N = len(row_NKC)
    rows = max(1, SLAB_CELLS // N)
    for start in range(0, N, rows):
        end, above = min(N, start + rows), min(halo, start)
        first = max(0, start - halo)
        yield start, end, above, first, sentence.hidden(start - above, min(N, end + halo), first)


@dataclass(frozen=True)
class _Sentence:
    """One sentence's inputs, reduced to the channels that dropout keeps."""

    row_NKC: Tensor
    column_NKC: Tensor
    row_sum_NC: Tensor
    column_sum_NC: Tensor  # with the bias
    weight_MC: Tensor  # times the dropout factor
    kept: Tensor | None

    def strips(self) -> Iterator[tuple[int, int, int]]:
        """(first row, end row, first column) of each strip."""
        N, p = len(self.row_NKC), self.row_NKC.shape[1] // 2
        start = 0
        while start < N:
            first = max(0, start - 2 * p)
            # Rows further down need fewer columns; a strip takes those of its first row for all.
            end = min(N, start + max(1, STRIP_CELLS // (N - first)))
            yield start, end, first
            start = end

    def hidden(self, start: int, end: int, first: int) -> Tensor:
        """[U, V, C] after the ReLU; the dropout's factor is in the weight."""
        N, p = len(self.row_NKC), self.row_NKC.shape[1] // 2
        cells = self.row_sum_NC[start:end, None] + self.column_sum_NC[None, first:]
        # Near the border some taps fall outside the table: take them off again.
        for v, low, high in _borders(N, p):
            if v >= first:
                cells[:, v - first] -= self.row_NKC[start:end, low:high].sum(1)
            if start <= v < end:
                cells[v - start] -= self.column_NKC[first:, low:high].sum(1)
        return cells.relu_()


def _borders(N: int, p: int) -> Iterator[tuple[int, int, int]]:
    """(position, first, end) of the taps that fall outside at each position near a border of 0 … N − 1."""
    for position in sorted({*range(min(p, N)), *range(max(0, N - p), N)}):
        if position < p:
            yield position, 0, p - position
        if position >= N - p:
            yield position, N - position + p, 2 * p + 1


def _sentences(
    row: Tensor, column: Tensor, bias: Tensor, weight: Tensor, keep: Tensor | None, lengths: Sequence[int]
) -> Iterator[_Sentence]:
    for b, (own_row, own_column) in enumerate(zip(row.split(lengths), column.split(lengths), strict=True)):
        if keep is None:
            yield _Sentence(own_row, own_column, own_row.sum(1), own_column.sum(1) + bias, weight, None)
            continue
        kept = keep[b].nonzero()[:, 0]
        r, c = own_row[..., kept], own_column[..., kept]
        yield _Sentence(r, c, r.sum(1), c.sum(1) + bias[kept], weight[:, kept] * keep[b, kept], kept)


class _Strips(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, row: Tensor, column: Tensor, bias: Tensor, weight: Tensor, keep: Tensor | None, lengths: list[int]
    ) -> Tensor:
        K = row.shape[1]
        ctx.save_for_backward(row, column, bias, weight, keep)
        ctx.lengths = lengths
        R = weight.shape[0] // K**2
        flat = row.new_zeros(sum(n * n for n in lengths) * R)
        for sentence, part in zip(
            _sentences(row, column, bias, weight, keep, lengths), flat.split([n * n * R for n in lengths]), strict=True
        ):
            _forward_sentence(sentence, part.view(len(sentence.row_NKC), -1, R))
        return flat

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        row, column, bias, weight, keep = ctx.saved_tensors
        K = row.shape[1]
        R = weight.shape[0] // K**2
        found = [torch.zeros_like(row), torch.zeros_like(column), torch.zeros_like(bias), torch.zeros_like(weight)]
        d_row, d_column, d_bias, d_weight = found
        parts = gradient.split([n * n * R for n in ctx.lengths])
        sentences = _sentences(row, column, bias, weight, keep, ctx.lengths)
        at = 0
        for b, (sentence, part) in enumerate(zip(sentences, parts, strict=True)):
            N = len(sentence.row_NKC)
            dr, dc, dw = _backward_sentence(sentence, part.view(N, N, R))
            everything = slice(None) if sentence.kept is None else sentence.kept
            d_row[at : at + N, :, everything] = dr
            d_column[at : at + N, :, everything] = dc
            # Every hidden cell holds the bias once; the sum over columns of the sum over rows is over all cells.
            d_bias[everything] += dc[:, K // 2].sum(0)
            d_weight[:, everything] += dw if keep is None else dw * keep[b, sentence.kept]
            at += N
        return d_row, d_column, d_bias, d_weight, None, None


def _forward_sentence(sentence: _Sentence, out_NNR: Tensor) -> None:
    N, _, R = out_NNR.shape
    K = sentence.row_NKC.shape[1]
    p = K // 2
    for start, end, first in sentence.strips():
        cells = sentence.hidden(start, end, first)
        U, V, _ = cells.shape
        # Tap (h, w) of hidden cell (u, v) counts for the output (u − h + p, v − w + p). With p spare columns at both
        # ends, the sum over w is one over a strided view.
        taps = cells.new_zeros(U, V + 2 * p, K, K, R)
        taps[:, p : p + V] = F.linear(cells, sentence.weight_MC).view(U, V, K, K, R)
        s = taps.stride()
        summed = taps.as_strided((U, V, K, K, R), (s[0], s[1], s[2], s[1] + s[3], s[4])).sum(3)
        for h in range(K):
            low, high = max(0, start - h + p), min(N, end - h + p)
            if low < high:
                u = low + h - p - start
                out_NNR[low:high, first:] += summed[u : u + high - low, :, h]


def _backward_sentence(sentence: _Sentence, gradient_NNR: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of row [N, K, C], column [N, K, C] and weight [M, C] of one sentence."""
    N, K, C = sentence.row_NKC.shape
    M, p = len(sentence.weight_MC), K // 2
    padded = F.pad(gradient_NNR, (0, 0, p, p, p, p))
    s = padded.stride()
    # At (u, v) the view below holds the gradient of output (u + h − p, v + w − p), which tap (K−1−h, K−1−w) made.
    flipped = sentence.weight_MC.view(K, K, M // K**2, C).flip(0, 1).reshape(M, C)
    d_row = torch.zeros_like(sentence.row_NKC)
    d_column = torch.zeros_like(sentence.column_NKC)
    d_flipped = torch.zeros_like(flipped)
    for start, end, first in sentence.strips():
        cells = sentence.hidden(start, end, first)
        U, V, _ = cells.shape
        offset = start * s[0] + first * s[1]
        d_taps = padded.as_strided((U, V, K, K, s[1]), (s[0], s[1], s[0], s[1], 1), offset).reshape(U * V, M)
        d_flipped.addmm_(d_taps.t(), cells.view(U * V, C))
        d_cells = torch.ops.aten.threshold_backward(d_taps @ flipped, cells.view(U * V, C), 0.0)
        d_cells = d_cells.view(U, V, C)
        d_row[start:end] += d_cells.sum(1)[:, None]
        d_column[first:] += d_cells.sum(0)[:, None]
        for at, low, high in _borders(N, p):
            if at >= first:
                d_row[start:end, low:high] -= d_cells[:, at - first, None]
            if start <= at < end:
                d_column[first:, low:high] -= d_cells[at - start, :, None]
    return d_row, d_column, d_flipped.view(K, K, M // K**2, C).flip(0, 1).reshape(M, C)
