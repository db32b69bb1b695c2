"""SpERT's head (Eberts and Ulges 2020): one linear layer for spans, one for pairs of them.

Axes: B batch, N words after the sentence token, Q spans, M pairs, H width of a word vector, T entity types and none,
R relation types.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tablert_dist.config import ModelConfig
from tablert_dist.cpu import linear
from tablert_dist.heads.base import Scheme
from tablert_dist.heads.head import Head, Outputs
from tablert_dist.heads.spans import run_maxima, span_maxima
from tablert_dist.heads.spert.scheme import SpertScheme
from tablert_dist.tags import IGNORE, TagSet

WIDTHS = 100
"""Longest span, in words, with a width of its own; longer ones share the last."""


class SpertHead(Head):
    """A span is its max-pooled words, an embedding of its width and, for its type, the sentence token; a pair is both
    spans, their widths and the max-pooled words between them. Word 0 is the sentence token."""

    teacher_inputs = ("spans", "pairs")

    def __init__(
        self,
        width: int,
        entity_types: int,
        relation_types: int,
        width_embedding: int = 25,
        dropout: float = 0.1,
        scheme: Scheme | None = None,
        relation_loss: str = "mean",
    ) -> None:
        super().__init__(scheme or SpertScheme())
        self.relation_loss = relation_loss
        self.width = nn.Embedding(WIDTHS, width_embedding)
        self.entity = nn.Linear(2 * width + width_embedding, 1 + entity_types)
        self.dropout = dropout
        with warnings.catch_warnings():
            # Data without relation types: torch says that an empty layer has nothing to initialise.
            warnings.filterwarnings("ignore", "Initializing zero-element tensors")
            self.relation = nn.Linear(3 * width + 2 * width_embedding, relation_types)
            for part in (self.width, self.entity, self.relation):
                nn.init.normal_(part.weight, std=0.02)
        nn.init.zeros_(self.entity.bias)
        nn.init.zeros_(self.relation.bias)

    @classmethod
    def from_config(cls, config: ModelConfig, width: int, tags: TagSet, scheme: Scheme) -> SpertHead:
        """The head of a configuration for word vectors of `width`."""
        types = len(tags.schema.entity_types), len(tags.schema.relation_types)
        return cls(width, *types, config.spert.width_embedding, config.dropout, scheme, config.spert.relation_loss)

    def forward(self, words_BNH: Tensor, mask_BN: Tensor, spans: Tensor, pairs: Tensor) -> Outputs:
        """Type logits [B, Q, T] of `spans` [B, Q, 2] and relation logits [B, M, R] of `pairs` [B, M, 4]."""
        maxima = run_maxima(words_BNH)
        return self._types(words_BNH, maxima, spans), self._relations(maxima, pairs)

    def spans(self, word_vectors: Tensor, spans: Tensor) -> Tensor:
        """Type logits [B, Q, T]; a span is `start … end - 1`, counted with the sentence token."""
        return self._types(word_vectors, run_maxima(word_vectors), spans)

    def relations(self, word_vectors: Tensor, pairs: Tensor) -> Tensor:
        """Relation logits [B, M, R]; a pair is start and end of head and of tail."""
        return self._relations(run_maxima(word_vectors), pairs)

    def loss(self, outputs: Outputs, targets: Mapping[str, Tensor]) -> Tensor:
        """Each sentence's mean over its spans plus its mean over its pairs, of their mean over types (or their sum), summed
        over sentences.

        The authors take the means over a batch; by sentence the loss of a batch is the same however it is shared out.
        """
        types, relations = outputs
        gold, labels = targets["span_types"], targets["pair_labels"]
        by_span = F.cross_entropy(types.transpose(1, 2).float(), gold, ignore_index=IGNORE, reduction="none")
        there = (gold != IGNORE).sum(1).clamp(min=1)
        loss = (by_span.sum(1) / there).sum()
        if relations.shape[-1]:
            real = (labels != IGNORE).all(-1)
            by_type = F.binary_cross_entropy_with_logits(
                relations.float(), labels.clamp(min=0).to(torch.float32), reduction="none"
            )
            by_pair = by_type.mean(-1) if self.relation_loss == "mean" else by_type.sum(-1)
            loss = loss + ((by_pair * real).sum(1) / real.sum(1).clamp(min=1)).sum()
        return loss

    def _types(self, words_BNH: Tensor, maxima: Tensor, spans_BQ2: Tensor) -> Tensor:
        start, end = spans_BQ2.unbind(-1)
        sentence = words_BNH[:, :1].expand(-1, spans_BQ2.shape[1], -1)
        parts = [sentence, span_maxima(maxima, start, end), self._width(start, end)]
        return self._classify(torch.cat(parts, -1), self.entity)

    def _relations(self, maxima: Tensor, pairs_BM4: Tensor) -> Tensor:
        head_start, head_end, tail_start, tail_end = pairs_BM4.unbind(-1)
        between = span_maxima(maxima, torch.minimum(head_end, tail_end), torch.maximum(head_start, tail_start))
        parts = [
            between,
            span_maxima(maxima, head_start, head_end),
            span_maxima(maxima, tail_start, tail_end),
            self._width(head_start, head_end),
            self._width(tail_start, tail_end),
        ]
        return self._classify(torch.cat(parts, -1), self.relation)

    def _width(self, start: Tensor, end: Tensor) -> Tensor:
        found: Tensor = self.width((end - start).clamp(0, WIDTHS - 1))
        return found

    def _classify(self, x: Tensor, layer: nn.Linear) -> Tensor:
        return linear(F.dropout(x, self.dropout, self.training), layer.weight, layer.bias)
