"""Lengths in words and in the encoder's subwords: what is too long for it, and words that it does not know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tablert_dist.data.validation.finding import Case, Finding, short
from tablert_dist.errors import InputError, counted
from tablert_dist.schema import Sentence
from tablert_dist.tokenization import EncodedSentence, SubwordTokenizer

LONG_WORDS = 200
"""A table has the square of this many cells: sentences beyond take memory and are often unsplit paragraphs."""
UNKNOWN = 0.01
"""Share of words with an unknown subword from which the encoder does not fit the text."""
MANY_SUBWORDS = 5.0
"""Subwords a word, on average, from which it does not either."""


def encode(tokenizer: SubwordTokenizer, sentences: Sequence[Sentence]) -> list[EncodedSentence]:
    """Every sentence's subwords, whatever its length. Raises InputError where a word has none."""
    return tokenizer.encode([s.words for s in sentences], within_limit=False)


def find(case: Case) -> Iterator[Finding]:
    """Sentences over the limit, very long ones, and text that the encoder's vocabulary does not cover."""
    for part in case.parts:
        longest = max(range(len(part.sentences)), key=lambda i: len(part.sentences[i].words), default=None)
        if longest is not None and len(part.sentences[longest].words) > LONG_WORDS:
            words = part.sentences[longest].words
            count = sum(len(s.words) > LONG_WORDS for s in part.sentences)
            yield Finding(
                "long",
                "warning",
                part.file,
                count,
                f"{counted(count, 'sentence')} over {LONG_WORDS} words, the longest of {len(words)}: a table has as many "
                "cells as words squared",
                "split paragraphs into sentences",
                short(words),
                longest,
            )
    if case.tokenizer:
        yield from _subwords(case, case.tokenizer)


def _subwords(case: Case, tokenizer: SubwordTokenizer) -> Iterator[Finding]:
    for part in case.parts:
        try:
            encoded = encode(tokenizer, part.sentences)
        except InputError as error:
            yield Finding("subwords", "error", part.file, 1, str(error), "take the word out or choose another encoder")
            continue
        over = [i for i, e in enumerate(encoded) if len(e.ids) > tokenizer.limit]
        if over:
            training = part.split == "train"
            refused = training and case.on_overflow == "error"
            advice = "split them: predicting reads them by overlapping windows, and no relation between two windows"
            if refused:
                advice = "split them, or leave them out with --set data.on_overflow=drop"
            elif training:
                advice = "split them to train on them: data.on_overflow = drop leaves them out"
            yield Finding(
                "too-long",
                "error" if refused else "warning",
                part.file,
                len(over),
                f"{counted(len(over), 'sentence')} over the encoder's limit of {tokenizer.limit} subwords, the longest of "
                f"{max(len(encoded[i].ids) for i in over)}",
                advice,
                short(part.sentences[over[0]].words),
                over[0],
            )
        yield from _coverage(part.file, part.sentences, encoded, tokenizer)


def _coverage(
    file: str, sentences: Sequence[Sentence], encoded: Sequence[EncodedSentence], tokenizer: SubwordTokenizer
) -> Iterator[Finding]:
    words = sum(e.words for e in encoded)
    unknown = tokenizer.unknown_id
    hit = [i for i, e in enumerate(encoded) if unknown is not None and (e.ids == unknown).any()]
    count = sum(int((encoded[i].ids == unknown).sum()) for i in hit)
    if words and count > UNKNOWN * words:
        index = hit[0]
        at = int((encoded[index].ids == unknown).nonzero()[0][0])
        word = int((encoded[index].first <= at).sum()) - 1
        yield Finding(
            "unknown-words", "warning", file, count,
            f"{count} of {words} words have a piece that the encoder's vocabulary does not know",
            "choose an encoder of this language or script", repr(sentences[index].words[word]), index,
        )  # fmt: skip
    pieces = sum(int(e.count.sum()) for e in encoded)
    if words and pieces > MANY_SUBWORDS * words:
        yield Finding(
            "unknown-words", "warning", file, pieces,
            f"a word is cut into {pieces / words:.1f} subwords on average",
            "choose an encoder of this language, or split the words where they are not split at all",
            short(sentences[0].words), 0,
        )  # fmt: skip
