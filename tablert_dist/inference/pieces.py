"""Texts as pieces that a model reads one by one (sentences, and windows of long ones), and what was found put together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from tablert_dist.config import PredictConfig
from tablert_dist.errors import InputError
from tablert_dist.heads.rules import Rules
from tablert_dist.inference.extraction import Extraction, Read, joined
from tablert_dist.schema import Sentence
from tablert_dist.text import SURROGATE, Rule, Span, merge, split_sentences, split_words
from tablert_dist.tokenization import EncodedSentence, SubwordTokenizer


def check_characters(text: str) -> None:
    """Raise InputError for a text with what is no character."""
    if not text.isascii() and (half := SURROGATE.search(text)):
        raise InputError(
            f"expected a text, found half of a surrogate pair (\\u{ord(half[0]):04x}) after {half.start()} characters"
        )


@dataclass(frozen=True)
class Piece:
    """A sentence, or a window of one that is over the encoder's limit."""

    words: Sequence[str]
    encoded: EncodedSentence

    @property
    def cells(self) -> int:
        """Of its table: words squared."""
        return len(self.words) ** 2


@dataclass(frozen=True)
class SentencePlan:
    """One sentence: its words, and the spans of words that are read."""

    words: Sequence[str]
    spans: Sequence[Span]


@dataclass(frozen=True)
class Plan:
    """A text before it is read: `pieces` are those of its sentences, in their order."""

    text: str
    offsets: tuple[Span, ...]
    """Characters of each word."""
    sentences: Sequence[SentencePlan]
    pieces: Sequence[Piece]

    def finish(self, found: Sequence[Sentence], symmetric: frozenset[str], rules: Rules | None = None) -> Extraction:
        """The extraction, from what was found in each piece. `rules`: that each piece keeps, and a sentence made of several."""
        rest = iter(found)
        parts = [_merged(plan, list(itertools.islice(rest, len(plan.spans))), rules) for plan in self.sentences]
        sentence = joined([sentence for sentence, _ in parts])
        return Extraction(self.text, sentence, self.offsets, Read.total(read for _, read in parts), symmetric)


class Planner:
    """Cuts texts into pieces, as the configuration says and the encoder's limit demands."""

    def __init__(self, tokenizer: SubwordTokenizer, config: PredictConfig, rule: Rule = "script") -> None:
        self.tokenizer, self.config, self.rule = tokenizer, config, rule

    def of_texts(self, texts: Sequence[str]) -> list[Plan]:
        """A plan for each text. Raises InputError for what is no text, and as `of_words` does."""
        spans = [self.sentences(text) for text in texts]
        words = [
            [[text[start:end] for start, end in sentence] for sentence in sentences]
            for text, sentences in zip(texts, spans, strict=True)
        ]
        planned = iter(self._planned([sentence for sentences in words for sentence in sentences]))
        return [
            _plan(text, tuple(itertools.chain.from_iterable(found)), list(itertools.islice(planned, len(found))))
            for text, found in zip(texts, spans, strict=True)
        ]

    def of_words(self, sentences: Sequence[Sequence[str]]) -> list[Plan]:
        """A plan for each sentence, its text the words joined by spaces; one without words has no pieces.

        Raises InputError for a sentence over the encoder's limit where `predict.on_overflow` is `error`, for a word that
        is over it alone, and for what is no text.
        """
        for words in sentences:
            check_characters(" ".join(words))
        planned = iter(self._planned([words for words in sentences if words]))
        plans = []
        for words in sentences:
            ends = itertools.accumulate(len(word) + 1 for word in words)
            offsets = tuple((end - 1 - len(word), end - 1) for end, word in zip(ends, words, strict=True))
            plans.append(_plan(" ".join(words), offsets, [next(planned)] if words else []))
        return plans

    def sentences(self, text: str) -> list[list[Span]]:
        """The text's sentences as character spans of words; those without a word are left out.

        Raises InputError for what is no text.
        """
        if not isinstance(text, str):
            raise InputError(f"expected a text, found {type(text).__name__}")
        check_characters(text)
        config = self.config
        cuts = split_sentences(text, config.language) if config.split_sentences else [(0, len(text))]
        found = [split_words(text, start, end, self.rule) for start, end in cuts]
        return [words for words in found if words]

    def _planned(self, sentences: Sequence[Sequence[str]]) -> list[tuple[SentencePlan, list[Piece]]]:
        plans = []
        for words, whole in zip(sentences, self.tokenizer.encode(sentences, within_limit=False), strict=True):
            spans = self._windows(words, whole)
            if spans == [(0, len(words))]:
                pieces = [Piece(words, whole)]
            else:
                parts = [words[start:end] for start, end in spans]
                pieces = [
                    Piece(part, encoded) for part, encoded in zip(parts, self.tokenizer.encode(parts), strict=True)
                ]
            plans.append((SentencePlan(words, spans), pieces))
        return plans

    def _windows(self, words: Sequence[str], whole: EncodedSentence) -> list[Span]:
        if len(whole.ids) > self.tokenizer.limit and self.config.on_overflow == "error":
            raise InputError(
                f"a sentence of {len(words)} words is {len(whole.ids)} subwords, over the encoder's limit of "
                f"{self.tokenizer.limit}: '{' '.join(words[:60])[:60]} …'; predict.on_overflow = window reads it in pieces"
            )
        spans = self.tokenizer.spans(whole)
        return spans if self.config.on_overflow == "window" else spans[:1]


def _plan(text: str, offsets: tuple[Span, ...], planned: Sequence[tuple[SentencePlan, list[Piece]]]) -> Plan:
    pieces = tuple(itertools.chain.from_iterable(pieces for _, pieces in planned))
    return Plan(text, offsets, tuple(sentence for sentence, _ in planned), pieces)


def _merged(plan: SentencePlan, found: Sequence[Sentence], rules: Rules | None) -> tuple[Sentence, Read]:
    words, spans = plan.words, plan.spans
    if len(spans) > 1:
        merged = merge(words, spans, found)
        # Windows keep the rules each by itself: a head may have a tail in either of two.
        whole = rules.settle(merged.sentence) if rules else merged.sentence
        return whole, Read(len(words), windows=len(spans), all_pairs=merged.all_pairs)
    (only,) = found
    # Where a sentence was truncated, its words are more than those that were read.
    whole = only if len(only.words) == len(words) else Sentence.unchecked(tuple(words), only.entities, only.relations)
    return whole, Read(len(words), spans[0][1])
