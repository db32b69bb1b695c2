"""Where words begin and end in raw text: at white space and punctuation, and by script where none is between them."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Literal

from tokenizers.pre_tokenizers import BertPreTokenizer

from tablert_dist.errors import InputError

Span = tuple[int, int]
Rule = Literal["punctuation", "script"]
"""How a text is cut into words. `punctuation`: at white space and around punctuation (BERT's rule), which leaves a Chinese
clause one word. `script`: besides, each Chinese or Japanese character is a word, and Thai, Lao, Khmer and Burmese are cut
by ICU's dictionaries."""

_BERT = BertPreTokenizer()
COMMON = (range(0x1C), range(0x20, 0x80), range(0xA0, 0x600), range(0x2000, 0x2070), range(0x20A0, 0x20C0))
"""Characters on whose kind Python's and tokenizers' tables of Unicode agree (tested for each of them)."""

_ALONE = (
    "\u3005-\u3007\u3021-\u3029\u3038-\u303c"  # iteration marks and numerals
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30ff\u31f0-\u31ff\uff66-\uff9d"  # kana
    "\u3105-\u312f\u31a0-\u31bf"  # bopomofo
    "\u2e80-\u2fdf\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters and their parts
)
_MARKS = "\u3099\u309a\uff9e\uff9f\ufe00-\ufe0f\U000e0100-\U000e01ef"
"""Sound marks and variants: they belong to the character before them."""
SCRIPTS = {
    "Thai": "\u0e00-\u0e7f",
    "Lao": "\u0e80-\u0eff",
    "Burmese": "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f",
    "Khmer": "\u1780-\u17ff\u19e0-\u19ff",
}
"""Scripts without spaces between words, whose words only a dictionary tells."""
_PIECES = re.compile(
    f"(?P<alone>[{_ALONE}][{_MARKS}]*)"
    + "".join(f"|(?P<{name}>[{codes}]+)" for name, codes in SCRIPTS.items())
    + f"|[^{_ALONE}{''.join(SCRIPTS.values())}]+"
)
_SPACELESS = re.compile(f"[{_ALONE}{''.join(SCRIPTS.values())}]")


def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Match a text of COMMON characters alone, and a word in it."""
    characters = [chr(code) for codes in COMMON for code in codes]
    symbols = string.punctuation
    punctuation = re.escape("".join(c for c in characters if c in symbols or unicodedata.category(c)[0] == "P"))
    white = re.escape("".join(filter(str.isspace, characters)))
    common = "".join(f"{re.escape(chr(codes[0]))}-{re.escape(chr(codes[-1]))}" for codes in COMMON)
    return re.compile(f"[{common}]*"), re.compile(f"[{punctuation}]|[^{punctuation}{white}]+")


_COMMON_TEXT, _WORD = _patterns()


def split_words(text: str, start: int = 0, end: int | None = None, rule: Rule = "script") -> list[Span]:
    """Character spans of the words in `text[start:end]`.

    Raises InputError for a script whose words need a dictionary, where the extra that brings it is not installed.
    """
    end = len(text) if end is None else end
    # A regular expression is ten times as fast as the library's call, which makes an object for each character.
    if _COMMON_TEXT.fullmatch(text, start, end):
        return [match.span() for match in _WORD.finditer(text, start, end)]
    found = _BERT.pre_tokenize_str(text[start:end])
    words = [(start + a, start + b) for _, (a, b) in found if text[start + a : start + b].strip()]
    if rule == "punctuation" or not _SPACELESS.search(text, start, end):
        return words
    return [piece for word in words for piece in _by_script(text, *word)]


def _by_script(text: str, start: int, end: int) -> Iterator[Span]:
    for match in _PIECES.finditer(text, start, end):
        if match.lastgroup in SCRIPTS:
            yield from _by_dictionary(text, *match.span(), match.lastgroup)
        else:
            yield match.span()


def _by_dictionary(text: str, start: int, end: int, script: str) -> Iterator[Span]:
    try:
        from icu4py.breakers import WordBreaker
    except ImportError:
        raise InputError(
            f"{script} has no spaces between words: ICU finds them, which the extra [segment] brings: "
            "pip install 'tablert-dist[segment]'"
        ) from None
    # The dictionary follows from the script, whatever the locale.
    parts = list(WordBreaker(text[start:end], "en"))
    ends = list(accumulate(map(len, parts), initial=start))
    yield from pairwise(ends)
