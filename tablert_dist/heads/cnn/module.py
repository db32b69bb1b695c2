"""TablERT-CNN's head: word vectors to entity and relation logits by convolutions over the word-pair table.

Axes: B batch, N words, T words of all sentences, H width of a word vector, C channels, K side of the kernel, E entity
tags, R relation tags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from tablert_dist.config import ModelConfig
from tablert_dist.cpu import table_by_sentence
from tablert_dist.gpu import on_cpu_path
from tablert_dist.heads.base import Scheme
from tablert_dist.heads.bilinear import Bilinear
from tablert_dist.heads.cnn.pair_conv import PairConv
from tablert_dist.heads.cnn.scheme import TableScheme
from tablert_dist.heads.cnn.tap_conv import TapConv
from tablert_dist.heads.head import Head, Outputs
from tablert_dist.heads.table_loss import table_loss
from tablert_dist.tags import TagSet

FARTHEST = 40
"""Words apart, from which on all distances are one."""

SPARE = 16
"""Outputs of a single layer for entity tags alone, where they are not read from the relation logits."""


class TableHead(Head):
    """Paper §3.2, equations 2 to 6. `hidden` are the channels of the hidden layers; [] is a single layer.

    Entity tags are read on the diagonal: from the R relation logits (equation 6), or with `entity_from="hidden"` from what the
    last layer reads, which is as wide however few relation types there are; a single layer has `SPARE` outputs more then.

    What the paper has not, added to the relation logits: `distance`, a bias; `bilinear`, a score of the two words of this
    width, `rotary` by their places, and with `label_width` beside each word's vector the mean of its tags' embeddings.

    The first layer is factorised, the last is a product to taps; those between are `nn.Conv2d`. Every layer sees zeros
    outside each sentence's own table, so that a sentence's logits do not depend on its batch. On a CPU sentences are
    computed one by one, without padding; on a GPU and in the exported graph the whole batch goes through each operation.
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
        focal: float = 0.0,
        relation_weight: float = 1.0,
        distance: bool = False,
        bilinear: int = 0,
        scheme: Scheme | None = None,
        entity_from: str = "relation",
        rotary: bool = False,
        label_width: int = 0,
    ) -> None:
        super().__init__(scheme or TableScheme())
        self.focal, self.relation_weight = focal, relation_weight
        self.relation_tags, self.from_hidden = relation_tags, entity_from == "hidden"
        features = (hidden[-1] if hidden else relation_tags + SPARE) if self.from_hidden else relation_tags
        channels = hidden or [features]
        self.hidden, self.dropout = list(hidden), dropout
        self.pair = PairConv(width, channels[0], kernel_size)
        self.middle = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2)
            for before, after in zip(hidden, list(hidden)[1:], strict=False)
        )
        self.last = TapConv(hidden[-1], relation_tags, kernel_size) if hidden else None
        # PyTorch's own U(−1/√features, 1/√features) and not N(0, 0.02): the diagonal learns through this layer alone, and
        # at 0.02 the first epoch of CoNLL04 finds hardly an entity (BENCHMARKS.md, "Initialisation").
        self.entity = nn.Linear(features, entity_tags)
        nn.init.zeros_(self.entity.bias)
        self.distance = nn.Embedding(FARTHEST + 1, relation_tags) if distance else None
        if self.distance is not None:
            nn.init.zeros_(self.distance.weight)
        self.labels = nn.Linear(entity_tags, label_width, bias=False) if label_width else None
        self.bilinear = Bilinear(width + label_width, relation_tags, bilinear, rotary=rotary) if bilinear else None
        if self.bilinear is not None:
            # Nothing is added at the start; one of the two maps is enough for that, and the other lets it learn.
            nn.init.zeros_(self.bilinear.column.weight)
            nn.init.zeros_(self.bilinear.column.bias)
        if none_bias:
            bias = self.pair.bias if self.last is None else self.last.bias
            nn.init.zeros_(bias)
            nn.init.constant_(bias[0], none_bias)

    @classmethod
    def from_config(cls, config: ModelConfig, width: int, tags: TagSet, scheme: Scheme) -> TableHead:
        """The head of a configuration for word vectors of `width`."""
        return cls(
            width,
            len(tags.entity_tags),
            len(tags.relation_tags),
            config.cnn.hidden,
            config.cnn.kernel_size,
            config.dropout,
            config.none_bias,
            config.focal,
            config.relation_weight,
            config.cnn.distance,
            config.cnn.bilinear,
            scheme,
            config.cnn.entity_from,
            config.cnn.rotary,
            config.cnn.label_width,
        )

    def forward(self, words_BNH: Tensor, mask_BN: Tensor) -> tuple[Tensor, Tensor]:
        """Entity logits [B, N, E] and relation logits [B, N, N, R]; `mask` is 1 at words. Padding is unspecified."""
        table_of = table_by_sentence if on_cpu_path(words_BNH) else TableHead.table
        if self.keeps_less and self.training:
            table, features = checkpoint(table_of, self, words_BNH, mask_BN, use_reentrant=False)
        else:
            table, features = table_of(self, words_BNH, mask_BN)
        if self.from_hidden and self.last is None:
            features, table = diagonal(table), table[..., : self.relation_tags]
        if self.distance is not None:
            places = torch.arange(table.shape[1], device=table.device)
            table = table + self.distance((places[None] - places[:, None]).clamp(0, FARTHEST))
        words = [self.drop(words_BNH), self.drop(words_BNH)] if self.bilinear is not None else []
        entity: Tensor | None = None
        if self.labels is not None:
            # Before the bilinear scores, which read what comes of it.
            entity = self.entity(diagonal(table) if features is None else features)
            labels = self.labels(entity.softmax(-1))
            words = [torch.cat([part, labels], -1) for part in words]
        if self.bilinear is not None:
            table = table + self.bilinear(*words)
        if entity is None:
            entity = self.entity(diagonal(table) if features is None else features)
        return entity, table

    def loss(self, outputs: Outputs, targets: Mapping[str, Tensor]) -> Tensor:
        """As `table_loss`."""
        return table_loss(*outputs, targets["entity_tags"], targets["relation_tags"], self.focal, self.relation_weight)

    def table(self, words_BNH: Tensor, mask_BN: Tensor) -> tuple[Tensor, Tensor | None]:
        """The last layer's outputs [B, N, N, R] of the whole batch (equations 2 to 4); cells at padding are unspecified.

        And what it reads on the diagonal [B, N, C], where entity tags are read from that; else None.
        """
        # Dropped separately in the two roles of a word, so that training factorises too.
        table: Tensor = self.pair(self.drop(words_BNH), self.drop(words_BNH), mask_BN)
        if self.last is None:
            return table, None
        # In the table's type: under autocast it is a shorter one than the words', and a longer factor would widen it.
        cells = (mask_BN[:, :, None] & mask_BN[:, None, :])[..., None].to(table.dtype)
        # .shape[0] and not len(): the exporter would take the latter for a constant.
        keeps = [self.kept_channels(words_BNH.shape[0], channels, table) for channels in self.hidden]
        factors = [cells if keep is None else cells * keep[:, None, None] for keep in keeps]
        hidden, logits = self.upper_layers(F.relu(table) * factors[0], factors[1:])
        return logits, diagonal(hidden) if self.from_hidden else None

    def drop(self, words: Tensor) -> Tensor:
        """Word vectors after dropout."""
        return F.dropout(words, self.dropout, self.training)

    def upper_layers(self, table_BNNC: Tensor, factors: Sequence[Tensor | float]) -> tuple[Tensor, Tensor]:
        """The layers above the first: what the last one reads, and its outputs.

        `factors` follow the ReLUs: channel dropout, zeros outside a sentence.
        """
        assert self.last is not None
        table = table_BNNC
        for layer, factor in zip(self.middle, factors, strict=True):
            table = F.relu(layer(table.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)) * factor
        return table, self.last(table)

    def kept_channels(self, batch: int, channels: int, like: Tensor) -> Tensor | None:
        """Channel dropout's factor, [B, C]: 0 for a dropped channel; None where nothing is dropped."""
        if not (self.training and self.dropout):
            return None
        kept = torch.rand(batch, channels, device=like.device) >= self.dropout
        return kept.to(like.dtype) / (1 - self.dropout)


def diagonal(table_BNNR: Tensor) -> Tensor:
    """[B, N, R] of cells (i, i)."""
    if not torch.compiler.is_exporting():
        return torch.diagonal(table_BNNR, dim1=1, dim2=2).transpose(1, 2)
    # torch.onnx exports `diagonal` as a product of the whole table with an identity matrix (torch 2.13).
    N = table_BNNR.shape[1]
    return table_BNNR.flatten(1, 2).index_select(1, torch.arange(N, device=table_BNNR.device) * (N + 1))
