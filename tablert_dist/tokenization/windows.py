"""Annotated sentences over the encoder's limit: the rows of words that they are read by, and what was found put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from tablert_dist.errors import InputError
from tablert_dist.schema import Sentence
from tablert_dist.text import Span, merge
from tablert_dist.tokenization import SubwordTokenizer

Windows = Mapping[int, Sequence[Span]]
"""Of a sentence over the limit the runs of words that it is read by, by its index; of the others nothing."""


def windows_of(sentences: Sequence[Sequence[str]], tokenizer: SubwordTokenizer) -> dict[int, list[Span]]:
    """The windows of lists of words. Raises InputError, with the sentence's index, for a word that is over the limit alone."""
    found = {}
    for i, encoded in enumerate(tokenizer.encode(sentences, within_limit=False)):
        try:
            spans = tokenizer.spans(encoded)
        except InputError as error:
            raise InputError(f"sentence {i}: {error}") from None
        if len(spans) > 1:
            found[i] = spans
    return found


def rows_of(sentences: Sequence[Sequence[str]], windows: Windows) -> list[Sequence[str]]:
    """The words of each sentence, or of each of its windows."""
    return [words[start:end] for i, words in enumerate(sentences) for start, end in windows.get(i, ((0, len(words)),))]


def places(count: int, windows: Windows) -> list[range]:
    """Which rows are those of each of `count` sentences."""
    sizes = [len(windows.get(i, (None,))) for i in range(count)]
    return [range(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True)]


def joined(words: Sequence[str], windows: Sequence[Span] | None, found: Sequence[Sentence]) -> Sentence:
    """One sentence, from what was found in its rows."""
    return found[0] if windows is None else merge(words, windows, found).sentence
