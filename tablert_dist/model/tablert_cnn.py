"""TablERT-CNN's head: word vectors to entity and relation logits by convolutions over the word-pair table.

Axes: B batch, N words, H width of a word vector, C channels, K side of the kernel, E entity tags, R relation tags.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tablert_dist.model.pair_conv import PairConv
from tablert_dist.model.tap_conv import TapConv


class TableHead(nn.Module):
    """Paper §3.2, equations 2 to 6. `hidden` are the channels of the hidden layers; [] is a single layer.

    The first layer is factorised, the last is a product to taps; those between are `nn.Conv2d`. Every layer sees zeros
    outside each sentence's own table, so that a sentence's logits do not depend on its batch.
    """

    def __init__(
        self,
        width: int,
        entity_tags: int,
        relation_tags: int,
        hidden: Sequence[int] = (512,),
        kernel_size: int = 3,
        dropout: float = 0.3,
        none_bias: float = 0.0,
    ) -> None:
        super().__init__()
        channels = [*hidden, relation_tags]
        self.dropout = dropout
        self.pair = PairConv(width, channels[0], kernel_size)
        self.middle = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2)
            for before, after in zip(hidden, list(hidden)[1:], strict=False)
        )
        self.last = TapConv(hidden[-1], relation_tags, kernel_size) if hidden else None
        # PyTorch's own U(−1/√R, 1/√R) and not N(0, 0.02): the diagonal learns through this layer alone, and at 0.02 the
        # first epoch of CoNLL04 finds hardly an entity (BENCHMARKS.md, "Initialisation").
        self.entity = nn.Linear(relation_tags, entity_tags)
        nn.init.zeros_(self.entity.bias)
        if none_bias:
            bias = self.pair.bias if self.last is None else self.last.bias
            nn.init.zeros_(bias)
            nn.init.constant_(bias[0], none_bias)

    def forward(self, words_BNH: Tensor, mask_BN: Tensor) -> tuple[Tensor, Tensor]:
        """Entity logits [B, N, E] and relation logits [B, N, N, R]; `mask` is 1 at words. Padding is unspecified."""
        # Drawn separately for the two roles of a word, so that training factorises too.
        row = F.dropout(words_BNH, self.dropout, self.training)
        column = F.dropout(words_BNH, self.dropout, self.training)
        table = self.pair(row, column, mask_BN)
        if self.last is not None:
            cells = (mask_BN[:, :, None] & mask_BN[:, None, :])[..., None]
            table = self._activate(table, cells)
            for layer in self.middle:
                table = self._activate(layer(table.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), cells)
            table = self.last(table)
        diagonal = torch.diagonal(table, dim1=1, dim2=2).transpose(1, 2)
        return self.entity(diagonal), table

    def _activate(self, table_BNNC: Tensor, cells_BNN1: Tensor) -> Tensor:
        """ReLU, channel dropout, zeros outside the sentence."""
        keep = cells_BNN1.to(table_BNNC.dtype)
        if self.training and self.dropout:
            kept = torch.rand(table_BNNC.shape[0], 1, 1, table_BNNC.shape[3], device=table_BNNC.device) >= self.dropout
            keep = keep * kept.to(table_BNNC.dtype) / (1 - self.dropout)
        return F.relu(table_BNNC) * keep
