"""Raw text as sentences."""

from __future__ import annotations

import re

from tablert_dist.text.words import Span

SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a pair, which is no character; Python's strings may hold it, and no encoding does."""


def split_sentences(text: str, language: str) -> list[Span]:
    """Character spans of the sentences, from the first to the last character of the text."""
    if not text:
        return []
    from sentencex import segment

    spans: list[Span] = []
    start = 0
    for part in segment(language, text):
        spans.append((start, start + len(part)))
        start += len(part)
    # Offsets are only as good as the promise that nothing was left out or changed.
    return spans if start == len(text) else [(0, len(text))]
