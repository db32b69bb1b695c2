"""Max-pooling of any span of words at once: maxima over runs of 1, 2, 4, … words, of which two cover every span.

Axes: B batch, N words, Q spans, H width of a word vector, L levels.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 12
"""Runs of up to 2¹¹ words: spans of up to 4095."""


def run_maxima(words_BNH: Tensor) -> Tensor:
    """[B, L, N, H]: at level l, position i the maximum over the 2^l words from i on (as far as there are words)."""
    N = words_BNH.shape[1]
    places = torch.arange(N, device=words_BNH.device)
    found = [words_BNH]
    for level in range(LEVELS - 1):
        ahead = (places + 2**level).clamp(max=N - 1)
        found.append(torch.maximum(found[-1], found[-1].index_select(1, ahead)))
    return torch.stack(found, 1)


def span_maxima(maxima_BLNH: Tensor, start_BQ: Tensor, end_BQ: Tensor) -> Tensor:
    """[B, Q, H]: the maximum over words `start … end - 1`; zero where a span has no word."""
    B, L, N, H = maxima_BLNH.shape
    length = (end_BQ - start_BQ).clamp(min=1)
    # Made on the device: a list of the host's would be copied there, and the host would wait for it.
    powers = 2 ** torch.arange(L, device=length.device)
    level = (length[..., None] >= powers).sum(-1) - 1
    run = powers[level]
    flat = maxima_BLNH.reshape(B, L * N, H)
    first = _take(flat, level * N + start_BQ.clamp(0, N - 1))
    last = _take(flat, level * N + (start_BQ + length - run).clamp(0, N - 1))
    return torch.maximum(first, last) * (end_BQ > start_BQ)[..., None].to(flat.dtype)


def _take(rows_BMH: Tensor, index_BQ: Tensor) -> Tensor:
    return rows_BMH.gather(1, index_BQ[..., None].expand(-1, -1, rows_BMH.shape[2]))
