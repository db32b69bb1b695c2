"""The scheme that a configuration asks for."""

from __future__ import annotations

from tablert_dist.config import ModelConfig
from tablert_dist.schemes.base import Scheme
from tablert_dist.schemes.spert import SpertScheme
from tablert_dist.schemes.table import TableScheme
from tablert_dist.schemes.tablert import TablertScheme


def make_scheme(config: ModelConfig, beam: int = 1) -> Scheme:
    """`beam`: sequences of tags that TablERT keeps while it decodes; 1 = greedy."""
    if config.head == "tablert":
        return TablertScheme(beam)
    if config.head == "spert":
        return SpertScheme(config.max_span, config.negatives, config.relation_threshold)
    return TableScheme(config.decoding == "viterbi")
