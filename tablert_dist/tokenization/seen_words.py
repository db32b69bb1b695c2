"""Subwords of words that were seen before, kept: a word is split alike in every sentence, and most words come again.

tokenizers splits words that are given one by one each by itself, and only puts special tokens around them. Axes: S
sentences, W words of all sentences, T their subwords.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from tablert_dist.errors import InputError
from tablert_dist.tags import Ints

MOST = 32_768
"""Words that are kept: 10 MB. A corpus of news has about as many."""
LONGEST = 40
"""Characters of a word that is kept."""
TOGETHER = 128
"""Words in one sequence when new ones are split."""
PROBES = ("a", "B1", ",", "tokenizer", "Ærø", "a")

Word = tuple[int, ...]
Frame = tuple[Word, Word]


class SeenWords:
    """The subword ids of each word, as `tokenizer` splits it; for a word without any, those of `unknown`."""

    def __init__(self, tokenizer: Tokenizer, unknown: str | None) -> None:
        self._tokenizer, self._unknown = tokenizer, unknown
        self._words: dict[str, Word] = {}
        self.frame = _frame(tokenizer)
        """Special tokens before and after a sentence; None where this tokenizer does not split words one by one."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_words": {}}

    def arranged(
        self, sentences: Sequence[Sequence[str]], words: Sequence[Word]
    ) -> tuple[list[Ints], list[Ints], list[Ints]]:
        """Return for each sentence its ids with the special tokens, and each word's first subword and number of subwords.

        `words` are those that `split` gave. Raises InputError for a sentence without words and a word without subwords.
        """
        assert self.frame is not None
        before, after = self.frame
        words_S = np.fromiter(map(len, sentences), np.int64, len(sentences))
        if not words_S.all():
            raise InputError(f"sentence {int(np.argmin(words_S))} has no words")
        count_W = np.fromiter(map(len, words), np.int64, len(words))
        end_S = np.cumsum(words_S)
        if not count_W.all():
            word = int(np.argmin(count_W))
            index = int(np.searchsorted(end_S, word, side="right"))
            missing = sentences[index][word - int(end_S[index] - words_S[index])]
            raise InputError(f"sentence {index}: the tokenizer gives no subword for the word {missing!r}")
        end_W = np.cumsum(count_W)
        subwords_S = np.diff(end_W[end_S - 1], prepend=0)
        special = len(before) + len(after)
        # Each sentence's subwords move behind the special tokens of all before it and its own first ones.
        shift_S = np.arange(len(sentences)) * special + len(before)
        ids = np.empty(int(end_W[-1]) + len(sentences) * special, np.int64)
        ids[np.arange(end_W[-1]) + np.repeat(shift_S, subwords_S)] = np.fromiter(
            chain.from_iterable(words), np.int64, int(end_W[-1])
        )
        ends = np.cumsum(subwords_S + special)
        starts = ends - subwords_S - special
        ids[starts[:, None] + np.arange(len(before))] = before
        ids[ends[:, None] - np.arange(len(after), 0, -1)] = after
        first_W = end_W - count_W + np.repeat(shift_S - starts, words_S)
        cuts, bounds = [0, *end_S.tolist()], [0, *ends.tolist()]
        return _cut(ids, bounds), _cut(first_W, cuts), _cut(count_W, cuts)

    def split(self, sentences: Sequence[Sequence[str]]) -> list[Word]:
        """The subword ids of each word of all sentences. Raises what tokenizers raises."""
        words = list(chain.from_iterable(sentences))
        found = list(map(self._words.get, words))
        new = {word: () for word, known in zip(words, found, strict=True) if known is None} if None in found else {}
        if not new:
            return found  # type: ignore[return-value]
        split = self._learn(list(new))
        return [split[word] if known is None else known for word, known in zip(words, found, strict=True)]

    def _learn(self, words: list[str]) -> dict[str, Word]:
        parts = [words[i : i + TOGETHER] for i in range(0, len(words), TOGETHER)]
        found: dict[str, Word] = {}
        for part, encoding in zip(parts, self._tokenizer.encode_batch(parts, is_pretokenized=True), strict=True):
            found.update(zip(part, _words(encoding, len(part)), strict=True))
        if self._unknown is not None and not all(found.values()):
            # Zero-width or control characters: the word still has a row in the table, so it gets the unknown token.
            (unknown,) = _words(self._tokenizer.encode([self._unknown], is_pretokenized=True), 1)
            found = {word: ids or unknown for word, ids in found.items()}
        kept = {word: ids for word, ids in found.items() if len(word) <= LONGEST}
        if len(self._words) + len(kept) > MOST:
            # Another thread may be reading the old one.
            self._words = dict(list(kept.items())[:MOST])
        else:
            self._words.update(kept)
        return found


def _cut(array: Ints, bounds: list[int]) -> list[Ints]:
    return [array[a:b] for a, b in pairwise(bounds)]


def _words(encoding: Any, count: int) -> list[Word]:
    found: list[list[int]] = [[] for _ in range(count)]
    for number, owner in zip(encoding.ids, encoding.word_ids, strict=True):
        if owner is not None:
            found[owner].append(number)
    return [tuple(ids) for ids in found]


def _frame(tokenizer: Tokenizer) -> Frame | None:
    """Special tokens before and after, if a sentence is these around its words, each split as it is alone."""
    try:
        together, *alone = tokenizer.encode_batch([list(PROBES), *([word] for word in PROBES)], is_pretokenized=True)
    except Exception:  # tokenizers raises nothing more precise, here where a vocabulary has no unknown token
        return None
    body = list(chain.from_iterable(chain.from_iterable(_words(one, 1)) for one in alone))
    owners = together.word_ids
    inside = [i for i, owner in enumerate(owners) if owner is not None]
    if not inside:
        return None
    before, after = tuple(together.ids[: inside[0]]), tuple(together.ids[inside[-1] + 1 :])
    whole = [[*before, *chain.from_iterable(_words(one, 1)), *after] == one.ids for one in alone]
    return (before, after) if all(whole) and together.ids == [*before, *body, *after] else None
