"""Words as subwords: the tokenizer that training and serving share, and batches of what it gives."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tablert_dist.errors import InputError
from tablert_dist.tags import Ints, TableInputs
from tablert_dist.text import Span, windows
from tablert_dist.tokenization.seen_words import SeenWords

MOST_IDS = 10_000_000
"""Ten times as many as the largest vocabulary has."""


@dataclass(frozen=True)
class EncodedSentence:
    """Subword ids with the special tokens, and each word's run of them."""

    ids: Ints  # [S]
    first: Ints  # [N] position of a word's first subword
    count: Ints  # [N] its subwords, at least 1

    @property
    def words(self) -> int:
        """N."""
        return len(self.first)


def read_tokenizer(path: Path, limit: int) -> SubwordTokenizer:
    """A `tokenizer.json`. Raises InputError where it is none."""
    with _rust_errors(f"{path}: not a tokenizer"):
        text = path.read_text(encoding="utf-8")
        _check_ids(json.loads(text))
        return SubwordTokenizer(Tokenizer.from_str(text), limit)


def _check_ids(settings: Any) -> None:
    """Raise InputError for an id that no vocabulary reaches: tokenizers takes memory up to it, 8 GB for 2³¹."""
    model = settings.get("model") if isinstance(settings, dict) else None
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    added = settings.get("added_tokens") if isinstance(settings, dict) else None
    ids = list(vocabulary.values()) if isinstance(vocabulary, dict) else []
    ids += [token.get("id") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    for number in ids:
        if not isinstance(number, int) or not 0 <= number < MOST_IDS:
            raise InputError(f"it has the id {number!r}; ids are whole numbers below {MOST_IDS}")


@contextmanager
def _rust_errors(what: str) -> Iterator[None]:
    """Raise InputError for what tokenizers raises: nothing more precise than Exception, and Rust's panics, which are none."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise InputError(f"{what}: {(str(error).strip() or type(error).__name__).splitlines()[0]}") from None


def check_pad_id(pad_id: int, tokenizer: SubwordTokenizer, what: str) -> None:
    """Raise InputError, beginning with `what`, where the id that fills up a batch is outside the vocabulary."""
    size = tokenizer.tokenizer.get_vocab_size()
    if not 0 <= pad_id < size:
        raise InputError(f"{what}: pad_id = {pad_id} is outside the vocabulary of {size} subwords")


class SubwordTokenizer:
    """Splits given words into subwords: one object for training and serving, never cutting, never padding.

    `limit` is the longest input, in subwords with the special tokens, that the encoder takes.
    """

    def __init__(self, tokenizer: Tokenizer, limit: int) -> None:
        # A tokenizer.json may carry settings that cut at 128 and pad to 128 without a word.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._settings = json.loads(tokenizer.to_str())
        _check_template(self._settings.get("post_processor"))
        if _lacks_prefix_space(self._settings.get("pre_tokenizer")):
            # Words arrive without the space that a byte-level vocabulary marks the start of a word with.
            _set_prefix_space(self._settings["pre_tokenizer"])
            tokenizer = Tokenizer.from_str(json.dumps(self._settings))
        self.tokenizer = tokenizer
        self.limit = limit
        self._unknown = _unknown_token(self._settings)
        self._random = bool(self._settings["model"].get("dropout"))
        self._seen: SeenWords | None = None

    def to_json(self) -> str:
        """The tokenizer as a `tokenizer.json`."""
        return str(self.tokenizer.to_str())

    def encode(self, sentences: Sequence[Sequence[str]], within_limit: bool = True) -> list[EncodedSentence]:
        """Encode lists of words. Raises InputError for an empty one and, unless told otherwise, one over `limit`."""
        encoded = self._together(sentences) if sentences else []
        for index, result in enumerate(encoded if within_limit else ()):
            if len(result.ids) > self.limit:
                words = sentences[index]
                raise InputError(
                    f"sentence {index}: {len(words)} words are {len(result.ids)} subwords, over the encoder's limit of "
                    f"{self.limit}: '{' '.join(words)[:60]} …'; split it into shorter sentences"
                )
        return encoded

    def forget(self) -> None:
        """Forget the words seen so far: their subwords are then computed again."""
        self._seen = None

    @property
    def unknown_id(self) -> int | None:
        """The id of the unknown token, where the vocabulary has one."""
        return None if self._unknown is None else self.tokenizer.token_to_id(self._unknown)

    def overflows(self, sentence: Sequence[str]) -> bool:
        """Whether the sentence is over `limit`."""
        return len(self.tokenizer.encode(list(sentence), is_pretokenized=True).ids) > self.limit

    def spans(self, encoded: EncodedSentence) -> list[Span]:
        """Runs of words, each within `limit`, that overlap by half; one that is all of them where all are.

        Raises InputError where one word alone is over it.
        """
        if len(encoded.ids) <= self.limit:
            return [(0, encoded.words)]
        special = len(encoded.ids) - int(encoded.count.sum())
        return windows(encoded.count, self.limit - special)

    def _together(self, sentences: Sequence[Sequence[str]]) -> list[EncodedSentence]:
        with _rust_errors("the tokenizer cannot split the text"):
            # Another thread may make it forget.
            seen = self._seen = self._seen or SeenWords(self.tokenizer, self._unknown)
            by_word = seen.frame is not None and not self._random
            split = seen.split(sentences) if by_word else []
            found = [] if by_word else self.tokenizer.encode_batch([list(w) for w in sentences], is_pretokenized=True)
        if by_word:
            return list(map(EncodedSentence, *seen.arranged(sentences, split)))
        return [self._encoded(i, words, one) for i, (words, one) in enumerate(zip(sentences, found, strict=True))]

    def _encoded(self, index: int, words: Sequence[str], encoding: object) -> EncodedSentence:
        if not words:
            raise InputError(f"sentence {index} has no words")
        result = _runs(encoding, len(words))
        if (result.count == 0).any():
            # Zero-width or control characters: the word still has a row in the table, so it gets the unknown token.
            if self._unknown is None:
                missing = words[int(np.argmin(result.count))]
                raise InputError(f"sentence {index}: the tokenizer gives no subword for the word {missing!r}")
            filled = [w if c else self._unknown for w, c in zip(words, result.count, strict=True)]
            result = _runs(self.tokenizer.encode(filled, is_pretokenized=True), len(words))
        return result


def _runs(encoding: object, words: int) -> EncodedSentence:
    ids = np.asarray(encoding.ids, np.int64)  # type: ignore[attr-defined]
    owner = np.asarray([-1 if w is None else w for w in encoding.word_ids], np.int64)  # type: ignore[attr-defined]
    inside = owner >= 0
    count = np.bincount(owner[inside], minlength=words)
    first = np.zeros(words, np.int64)
    # Subwords of one word are consecutive, so the lowest position starts the run.
    positions = np.flatnonzero(inside)[::-1]
    first[owner[positions]] = positions
    return EncodedSentence(ids, first, count.astype(np.int64))


def _check_template(part: Any) -> None:
    """Raise InputError for a special token that a template uses and does not define: Rust would panic at the first text."""
    if not isinstance(part, dict):
        return
    for inner in part.get("processors") or ():
        _check_template(inner)
    defined = part.get("special_tokens") or {}
    for piece in (*(part.get("single") or ()), *(part.get("pair") or ())):
        token = piece.get("SpecialToken") if isinstance(piece, dict) else None
        if token and token["id"] not in defined:
            raise InputError(f"its post_processor uses the token {token['id']!r}, which it does not define")


def _lacks_prefix_space(part: dict[str, object] | None) -> bool:
    return any(p.get("type") == "ByteLevel" and not p.get("add_prefix_space") for p in _parts(part))


def _set_prefix_space(part: dict[str, object]) -> None:
    for p in _parts(part):
        if p.get("type") == "ByteLevel":
            p["add_prefix_space"] = True


def _parts(part: dict[str, object] | None) -> list[dict[str, object]]:
    if part is None:
        return []
    inner = part.get("pretokenizers")
    return list(inner) if isinstance(inner, list) else [part]


def _unknown_token(settings: dict[str, object]) -> str | None:
    model = settings.get("model")
    assert isinstance(model, dict)
    if isinstance(model.get("unk_token"), str):
        return str(model["unk_token"])
    index = model.get("unk_id")
    return str(model["vocab"][index][0]) if isinstance(index, int) else None


def collate(sentences: Sequence[EncodedSentence], pad_id: int) -> TableInputs:
    """One batch, padded to its longest sentence."""
    here_BS = _filled([len(s.ids) for s in sentences])
    input_ids = np.full(here_BS.shape, pad_id, np.int64)
    input_ids[here_BS] = np.concatenate([s.ids for s in sentences])
    count_W, first_W = np.concatenate([s.count for s in sentences]), np.concatenate([s.first for s in sentences])
    steps = np.arange(int(count_W.max()))
    here_BN = _filled([len(s.count) for s in sentences])
    word_subwords = np.full((*here_BN.shape, len(steps)), -1, np.int64)
    word_subwords[here_BN] = np.where(steps < count_W[:, None], first_W[:, None] + steps, -1)
    return TableInputs(input_ids, here_BS.astype(np.int64), word_subwords)


def _filled(lengths: Sequence[int]) -> NDArray[np.bool_]:
    """[B, longest]: the first `length` of each row."""
    return np.asarray(np.arange(max(lengths)) < np.asarray(lengths)[:, None])
