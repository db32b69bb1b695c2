"""TablERT's head (paper §2.2): a linear layer from word to word for the tags, bilinear scores of all pairs for relations.

Axes: B batch, N words, M rows, H width of a word vector, E entity tags, R relation tags, D width of the bilinear maps.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tablert_dist.config import ModelConfig
from tablert_dist.cpu import linear
from tablert_dist.heads.base import Scheme
from tablert_dist.heads.bilinear import Bilinear
from tablert_dist.heads.head import Head, Outputs
from tablert_dist.heads.spans import run_maxima, span_maxima
from tablert_dist.heads.table_loss import table_loss
from tablert_dist.heads.tablert.scheme import TablertScheme
from tablert_dist.tags import TagSet


class TablertHead(Head):
    """A word's tag from its vector, pooled words before it and the tag before; a relation of two words from
    their vectors and tags. Trained with gold tags. `label_width` is that of a tag's embedding."""

    teacher_inputs = ("entity_tags", "open_from")

    def __init__(
        self,
        width: int,
        entity_tags: int,
        relation_tags: int,
        label_width: int = 100,
        relation_width: int = 64,
        dropout: float = 0.3,
        none_bias: float = 0.0,
        focal: float = 0.0,
        relation_weight: float = 1.0,
        scheme: Scheme | None = None,
        scaled: bool = True,
    ) -> None:
        super().__init__(scheme or TablertScheme())
        self.focal, self.relation_weight = focal, relation_weight
        self.dropout = dropout
        self.label = nn.Embedding(entity_tags, label_width)
        self.tag = nn.Linear(2 * width + label_width, entity_tags)
        self.pair = Bilinear(width + label_width, relation_tags, relation_width, scaled)
        self.bias = nn.Parameter(torch.zeros(relation_tags))
        nn.init.normal_(self.label.weight, std=0.02)
        nn.init.zeros_(self.tag.bias)
        with torch.no_grad():
            self.bias[0] = none_bias

    @classmethod
    def from_config(cls, config: ModelConfig, width: int, tags: TagSet, scheme: Scheme) -> TablertHead:
        """The head of a configuration for word vectors of `width`."""
        return cls(
            width,
            len(tags.entity_tags),
            len(tags.relation_tags),
            config.tablert.label_width,
            config.tablert.relation_width,
            config.dropout,
            config.none_bias,
            config.focal,
            config.relation_weight,
            scheme,
            config.tablert.scaled,
        )

    def forward(
        self, words_BNH: Tensor, mask_BN: Tensor, entity_tags: Tensor, open_from: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Entity logits [B, N, E] given the gold `entity_tags` [B, N] before each word, relation logits [B, N, N, R] given
        all of them. `open_from` [B, N]: the first of the words before each word that are pooled for it."""
        words = F.dropout(words_BNH, self.dropout, self.training)
        tags = entity_tags.clamp(min=0)
        before = F.pad(tags[:, :-1], (1, 0))
        places = torch.arange(words.shape[1], device=words.device).expand_as(open_from)
        opened = span_maxima(run_maxima(words), open_from, places)
        return self.tag_step(words, opened, before), self.relations(words, tags)

    def loss(self, outputs: Outputs, targets: Mapping[str, Tensor]) -> Tensor:
        """As `table_loss`."""
        return table_loss(*outputs, targets["entity_tags"], targets["relation_tags"], self.focal, self.relation_weight)

    def tag_step(self, word: Tensor, open_entity: Tensor, previous_tag: Tensor) -> Tensor:
        """Tag logits [..., E] of words [..., H], the pooled words of the open entity [..., H], the tags before [...]."""
        return linear(torch.cat([word, open_entity, self.label(previous_tag)], -1), self.tag.weight, self.tag.bias)

    def relations(self, word_vectors: Tensor, entity_tags: Tensor) -> Tensor:
        """[B, N, N, R]: for each relation tag a bilinear score of every two words with their tags."""
        known = torch.cat([word_vectors, self.label(entity_tags)], -1)
        logits: Tensor = self.pair(known, known) + self.bias
        return logits
