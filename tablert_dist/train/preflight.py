"""What is said of a corpus before training: sentences too long for the encoder, and what the head cannot hold."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from tablert_dist.config import Config, ModelConfig
from tablert_dist.data import Corpus
from tablert_dist.errors import InputError
from tablert_dist.heads import make_scheme
from tablert_dist.heads.table_encoding import TableLoss
from tablert_dist.model.encoder import EncoderParts, TextParts
from tablert_dist.scoring import count
from tablert_dist.tags import TagSet

log = logging.getLogger(__name__)


def drop_overflow(corpus: Corpus, parts: EncoderParts | TextParts, config: Config) -> Corpus:
    """Training sentences over the encoder's limit: refused, or with `data.on_overflow = drop` left out and counted."""
    long = [i for i, s in enumerate(corpus.train) if parts.tokenizer.overflows(s.words)]
    if not long:
        return corpus
    limit = parts.tokenizer.limit
    if config.data.on_overflow == "error":
        raise InputError(
            f"{corpus.name}: train: sentence {long[0]} (one of {len(long)}) is over the encoder's limit of {limit} "
            f"subwords; split it, or leave such sentences out with --set data.on_overflow=drop"
        )
    said = "training sentence over %d subwords is" if len(long) == 1 else "training sentences over %d subwords are"
    log.warning(f"%s: %d {said} left out", corpus.name, len(long), limit)
    kept = tuple(s for i, s in enumerate(corpus.train) if i not in set(long))
    return replace(corpus, splits={**corpus.splits, "train": kept})


def table_report(corpus: Corpus, tags: TagSet, model: ModelConfig) -> dict[str, dict[str, Any]]:
    """For each split what the head cannot hold, and the F1 that a perfect model would reach (the oracle)."""
    found = {}
    scheme = make_scheme(model)
    for split, sentences in corpus.splits.items():
        fitted = [scheme.representable(s, tags) for s in sentences]
        loss = sum((lost for _, lost in fitted), TableLoss())
        scores = count(((gold, fits) for gold, (fits, _) in zip(sentences, fitted, strict=True)), tags.schema).scores()
        found[split] = {
            "lost": str(loss),
            "total": loss.total,
            "oracle_re_plus_f1": scores.f1("re_plus"),
            "oracle_ner_f1": scores.f1("ner"),
        }
    return found
