"""Bilinear scores of word pairs: two linear maps and a matrix product.

Axes: B batch, N words, H width of a word vector, R relation tags, D width of the maps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tablert_dist.cpu import linear

BASE = 10_000.0
"""Of the wave lengths (Su et al. 2021, §3.2.2): from 2π words to 2π · BASE."""


class Bilinear(nn.Module):
    """For each relation tag a score of every two words, `(W_r x_i)ᵀ (V_r x_j) / √D` (paper §2.2, where it is not divided).

    `rotary`: both maps are turned by their word's place (`turned`), so that a score depends on how far apart the words are
    and on which comes first, as in GlobalPointer (Su et al. 2022); `rank` is even then.
    """

    def __init__(self, width: int, relation_tags: int, rank: int, scaled: bool = True, rotary: bool = False) -> None:
        super().__init__()
        self.scale, self.rotary = rank**-0.5 if scaled else 1.0, rotary
        self.relation_tags = relation_tags
        self.row = nn.Linear(width, relation_tags * rank)
        self.column = nn.Linear(width, relation_tags * rank)

    def forward(self, row_BNH: Tensor, column_BNH: Tensor) -> Tensor:
        """[B, N, N, R]; cells at padding are unspecified."""
        B, N, _ = row_BNH.shape
        row, column = (
            linear(words, part.weight, part.bias).view(B, N, self.relation_tags, -1).transpose(1, 2)
            for words, part in ((row_BNH, self.row), (column_BNH, self.column))
        )
        if self.rotary:
            row, column = turned(row), turned(column)
        scores: Tensor = (row @ column.transpose(2, 3)) * self.scale
        return scores.permute(0, 2, 3, 1)


def turned(x: Tensor) -> Tensor:
    """[…, N, D]: the pair (d, d + D/2) of word n turned by the angle n · BASE^(−2d/D) (Su et al. 2021, equation 15).

    Of two words that are turned, a product depends on their distance alone.
    """
    N, half = x.shape[-2], x.shape[-1] // 2
    speeds = BASE ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angles = torch.arange(N, device=x.device, dtype=torch.float32)[:, None] * speeds
    # In fp32 and then in the type of what they multiply: bf16 has no angle of a far word.
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.split(half, -1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)
