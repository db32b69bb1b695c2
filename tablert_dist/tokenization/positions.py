"""What an encoder's configuration says of positions and padding, for who has no torch to ask the encoder itself."""

from __future__ import annotations

from typing import Any

AFTER_PADDING = frozenset(
    (
        "roberta",
        "xlm-roberta",
        "camembert",
        "xlm-roberta-xl",
        "data2vec-text",
        "mpnet",
        "ibert",
        "lilt",
        "luke",
        "markuplm",
    )
)
"""Architectures whose positions start behind the padding id."""


def subword_limit(config: Any) -> int:
    """The longest input that the position embeddings allow, special tokens included."""
    positions = int(getattr(config, "max_position_embeddings", 0) or 0)
    return (positions if positions > 0 else 512) - first_position(config)


def first_position(config: Any) -> int:
    """The position of a sentence's first subword: RoBERTa's start behind the padding id."""
    return pad_id(config) + 1 if config.model_type in AFTER_PADDING else 0


def pad_id(config: Any) -> int:
    """The id that fills up a batch."""
    found = getattr(config, "pad_token_id", None)
    return int(found) if found is not None else 0
