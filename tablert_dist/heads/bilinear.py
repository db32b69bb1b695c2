"""Bilinear scores of word pairs: two linear maps and a matrix product.

Axes: B batch, N words, H width of a word vector, R relation tags, D width of the maps.
"""

from __future__ import annotations

from torch import Tensor, nn

from tablert_dist.cpu import linear


class Bilinear(nn.Module):
    """For each relation tag a score of every two words, `(W_r x_i)ᵀ (V_r x_j) / √D` (paper §2.2, where it is not divided)."""

    def __init__(self, width: int, relation_tags: int, rank: int, scaled: bool = True) -> None:
        super().__init__()
        self.scale = rank**-0.5 if scaled else 1.0
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
        scores: Tensor = (row @ column.transpose(2, 3)) * self.scale
        return scores.permute(0, 2, 3, 1)
