"""Encoder and head as one module, and the builder that reads the configuration."""

from __future__ import annotations

from torch import Tensor, nn

from tablert_dist.config import ModelConfig
from tablert_dist.model.encoder import EncoderParts, WordEncoder
from tablert_dist.model.tablert_cnn import TableHead
from tablert_dist.tables import TagSet


class TableModel(nn.Module):
    """Subwords in, table logits out: the contract that the exported graph has as well."""

    def __init__(self, encoder: WordEncoder, head: TableHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    @property
    def trainable(self) -> nn.Module:
        """What a training updates, and its features are the inputs of: the head alone where the encoder is frozen."""
        return self.head if self.encoder.frozen else self

    def forward(self, input_ids: Tensor, attention_mask: Tensor, word_subwords: Tensor) -> tuple[Tensor, Tensor]:
        """`entity_logits` [B, N, E] and `relation_logits` [B, N, N, R] (cells i > j unspecified)."""
        words = self.encoder(input_ids, attention_mask, word_subwords)
        logits: tuple[Tensor, Tensor] = self.head(words, (word_subwords >= 0).any(-1))
        return logits


def build_model(config: ModelConfig, parts: EncoderParts, tags: TagSet) -> TableModel:
    """The model of a configuration on a loaded encoder. Head weights are drawn from torch's current random state."""
    encoder = WordEncoder(parts.transformer, config.frozen)
    return TableModel(encoder, build_head(config, encoder.width, tags))


def build_head(config: ModelConfig, width: int, tags: TagSet) -> TableHead:
    """The head of a configuration, its weights drawn from torch's current random state."""
    return TableHead(
        width,
        len(tags.entity_tags),
        len(tags.relation_tags),
        config.hidden,
        config.kernel_size,
        config.dropout,
        config.none_bias,
    )
