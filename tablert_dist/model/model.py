"""Encoder and head as one module, its stages, and the builder that reads the configuration."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from tablert_dist.config import ModelConfig
from tablert_dist.heads import head_spec
from tablert_dist.heads.base import WORDS, Scheme
from tablert_dist.heads.cnn.scheme import TABLE
from tablert_dist.heads.head import Head, Outputs
from tablert_dist.model.encoder import EncoderParts, WordEncoder
from tablert_dist.model.probe import freeze_unread
from tablert_dist.tags import TagSet


class TableModel(nn.Module):
    """Subwords in, a head's outputs out."""

    def __init__(self, encoder: WordEncoder, head: Head) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    @property
    def scheme(self) -> Scheme:
        """What the outputs mean."""
        return self.head.scheme

    @property
    def trainable(self) -> nn.Module:
        """What a training updates, and its features are the inputs of: the head alone where the encoder is frozen."""
        return self.head if self.encoder.frozen else self

    def forward(self, input_ids: Tensor, attention_mask: Tensor, word_subwords: Tensor, **teacher: Tensor) -> Outputs:
        """The head's outputs; `teacher` are the targets that it is trained with (`head.teacher_inputs`).

        TablERT-CNN: `entity_logits` [B, N, E] and `relation_logits` [B, N, N, R] (cells i > j unspecified).
        """
        words = self.encoder(input_ids, attention_mask, word_subwords)
        logits: Outputs = self.head(words, (word_subwords >= 0).any(-1), **teacher)
        return logits

    def stage(self, name: str) -> nn.Module:
        """A stage of the scheme as a module: its inputs in order, a tuple of its outputs."""
        return self if name == TABLE else StageModule(self, name)


class StageModule(nn.Module):
    """The encoder, or one function of the head, as a module of its own."""

    def __init__(self, model: TableModel, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """A tuple, as the stages that have several outputs."""
        part: Any = self.model.encoder if self.name == WORDS else getattr(self.model.head, self.name)
        return (part(*inputs),)


def build_model(config: ModelConfig, parts: EncoderParts, tags: TagSet) -> TableModel:
    """The model of a configuration on a loaded encoder, for training. Head weights are drawn from torch's current random
    state. Raises InputError where the encoder cannot do what the configuration asks."""
    if not config.frozen:
        freeze_unread(parts.transformer)
    model = assemble(config, WordEncoder(parts.transformer, config.frozen), tags)
    if config.gradient_checkpointing:
        if not config.frozen:
            model.encoder.keep_less()
        model.head.keeps_less = True
    return model


def assemble(config: ModelConfig, encoder: WordEncoder, tags: TagSet) -> TableModel:
    """The model of a configuration on an encoder. Head weights are drawn from torch's current random state."""
    return TableModel(encoder, build_head(config, encoder.width, tags))


def build_head(config: ModelConfig, width: int, tags: TagSet) -> Head:
    """The head of a configuration, its weights drawn from torch's current random state."""
    return cast(Head, head_spec(config).build(config, width, tags))
