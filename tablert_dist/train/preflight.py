"""What is said of a corpus before training: sentences too long for the encoder, and what the head cannot hold."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from tablert_dist.config import Config, ModelConfig
from tablert_dist.data import Corpus
from tablert_dist.data.validation.oracle import fitted
from tablert_dist.errors import InputError, counted
from tablert_dist.heads import make_scheme
from tablert_dist.model.check import TextParts
from tablert_dist.model.encoder import EncoderParts
from tablert_dist.tags import TagSet
from tablert_dist.text import Rule, split_words
from tablert_dist.tokenization import SubwordTokenizer
from tablert_dist.tokenization.windows import windows_of

log = logging.getLogger(__name__)
LOOKED_AT = 2000
"""Sentences of train in which unknown words are counted."""
WORTH_A_LINE, TOO_MANY = 0.05, 0.5
"""Shares of unknown words that are said, and refused."""
FEW_TYPES = 3
"""Relation types below which the paper's head learns entities badly (docs/concepts.md#heads)."""


def drop_overflow(corpus: Corpus, parts: EncoderParts | TextParts, config: Config) -> Corpus:
    """Training sentences over the encoder's limit: refused, or with `data.on_overflow = drop` left out and counted."""
    encoded = parts.tokenizer.encode([s.words for s in corpus.train], within_limit=False)
    long = [i for i, e in enumerate(encoded) if len(e.ids) > parts.tokenizer.limit]
    if not long:
        return corpus
    limit = parts.tokenizer.limit
    if config.data.on_overflow == "error":
        raise InputError(
            f"{corpus.name}: train ({corpus.files.get('train', 'train')}): sentence {long[0]} (one of {len(long)}) is over the "
            f"encoder's limit of {limit} "
            f"subwords; split it, or leave such sentences out with --set data.on_overflow=drop"
        )
    said = "training sentence over %d subwords is" if len(long) == 1 else "training sentences over %d subwords are"
    log.warning(f"%s: %d {said} left out", corpus.name, len(long), limit)
    out = set(long)
    kept = tuple(s for i, s in enumerate(corpus.train) if i not in out)
    return replace(corpus, splits={**corpus.splits, "train": kept})


def by_windows(corpus: Corpus, tokenizer: SubwordTokenizer) -> list[str]:
    """A line for dev and test each where sentences are over the encoder's limit. Raises InputError as `windows_of`."""
    lines = []
    for split, sentences in corpus.splits.items():
        if split == "train":
            continue
        try:
            long = windows_of([s.words for s in sentences], tokenizer)
        except InputError as error:
            raise InputError(f"{corpus.name} {split} ({corpus.files.get(split, split)}): {error}") from None
        if long:
            lines.append(
                f"{corpus.name} {split}: {counted(len(long), 'sentence')} over the encoder's limit of {tokenizer.limit} "
                "subwords: read by windows, as prediction does"
            )
    return lines


def known_words(corpus: Corpus, tokenizer: SubwordTokenizer, encoder: str) -> str | None:
    """A line about words that the encoder cannot read, or None. Raises InputError where it reads hardly any."""
    unknown = tokenizer.unknown_id
    if unknown is None:
        return None
    sentences = [list(s.words) for s in corpus.train[:LOOKED_AT]]
    lost = words = 0
    for sentence, encoded in zip(sentences, tokenizer.encode(sentences, within_limit=False), strict=True):
        # A word's subwords end where the next word's begin, the last word's before the special token.
        ids = encoded.ids[: encoded.first[-1] + encoded.count[-1]]
        read = np.logical_or.reduceat(ids != unknown, encoded.first)
        lost, words = lost + int((~read).sum()), words + len(sentence)
    if lost < WORTH_A_LINE * words:
        return None
    said = f"encoder '{encoder}' has no subwords for {lost} of {words} words of train"
    if lost > TOO_MANY * words:
        raise InputError(
            f"{said}: its tokenizer is damaged, or of another language than your text; take another encoder"
        )
    return f"{said}: it reads each as the same unknown word"


def table_report(corpus: Corpus, tags: TagSet, model: ModelConfig) -> dict[str, dict[str, Any]]:
    """For each split what the head cannot hold, and the F1 that a perfect model would reach (the oracle)."""
    found = {}
    scheme = make_scheme(model)
    for split, sentences in corpus.splits.items():
        loss, counts = fitted(scheme, tags, sentences)
        scores = counts.scores()
        found[split] = {
            "lost": str(loss),
            "total": loss.total,
            "oracle_re_plus_f1": scores.f1("re_plus"),
            "oracle_ner_f1": scores.f1("ner"),
        }
    return found


def cut_otherwise(corpus: Corpus, model: ModelConfig) -> str | None:
    """A line where words of train are not those that prediction would cut the same text into; else None."""
    words = [word for sentence in corpus.train[:LOOKED_AT] for word in sentence.words]
    other = [w for w in words if not w.isascii() and _parts(w, model.words) > 1 and _parts(w, "punctuation") == 1]
    if len(other) < WORTH_A_LINE * len(words):
        return None
    return (
        f"{len(other)} of {len(words)} words of train are cut further in prediction, such as {other[0]!r} "
        f"({model.words}): convert the texts again (tablert data convert), or give predict its words"
    )


def _parts(word: str, rule: Rule) -> int:
    try:
        return len(split_words(word, rule=rule))
    except InputError:  # without its dictionary
        return 0


def few_types(corpus: Corpus, model: ModelConfig) -> str | None:
    """A line where the paper's head would see too few numbers a word; else None."""
    types = len(corpus.schema.relation_types)
    if model.head != "cnn" or model.cnn.entity_from == "hidden" or types >= FEW_TYPES:
        return None
    return (
        f"{counted(types, 'relation type')}: entity tags are read from {1 + 2 * types} numbers a word, which is too little "
        "to learn them well; --set model.cnn.entity_from=hidden gives them the hidden layer's"
    )
