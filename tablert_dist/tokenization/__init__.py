"""Words as subwords: the tokenizer that training and serving share, and batches of what it gives."""

from tablert_dist.tokenization.positions import AFTER_PADDING, first_position, pad_id, subword_limit
from tablert_dist.tokenization.subwords import (
    EncodedSentence,
    SubwordTokenizer,
    check_pad_id,
    collate,
    read_tokenizer,
)

__all__ = [
    "AFTER_PADDING",
    "EncodedSentence",
    "SubwordTokenizer",
    "check_pad_id",
    "collate",
    "first_position",
    "pad_id",
    "read_tokenizer",
    "subword_limit",
]
