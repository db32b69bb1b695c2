"""Files that no reader takes: what their offsets look like, so that the cause is named and not only the first refusal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tablert_dist.data.validation import offsets
from tablert_dist.data.validation.finding import Finding, short

LEAST = 5
"""Spans that have to show a pattern before it is called one."""
MOST_BYTES = 200_000_000


def find(paths: Sequence[Path]) -> Iterator[Finding]:
    """Findings on the offsets of every file that is SpERT-like JSON; other files say nothing."""
    for path in paths:
        sentences = _sentences(path)
        spans = sum(len(found) for _, found in sentences)
        if spans < LEAST:
            continue
        patterns = [*_characters(path.name, sentences, spans), *_inclusive(path.name, sentences, spans)]
        yield from patterns or _shifted(path.name, sentences, spans)


def _sentences(path: Path) -> list[offsets.Annotated]:
    """Words and integer spans of the records that have them, by record; everything else is passed over."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return []
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    return [_sentence(record) for record in tree] if isinstance(tree, list) else []


def _sentence(record: Any) -> offsets.Annotated:
    if not isinstance(record, dict):
        return [], []
    tokens, entities = record.get("tokens"), record.get("entities")
    if not isinstance(tokens, list) or not isinstance(entities, list) or not all(isinstance(t, str) for t in tokens):
        return [], []
    pairs = [(e.get("start"), e.get("end")) for e in entities if isinstance(e, dict)]
    return tokens, [(s, e) for s, e in pairs if type(s) is int and type(e) is int and abs(s) + abs(e) < 10**9]


def _characters(file: str, sentences: Sequence[offsets.Annotated], spans: int) -> Iterator[Finding]:
    """Spans that cut whole words out of the text as characters, and often leave the sentence as words."""
    outside = fitting = 0
    example: tuple[int, str] | None = None
    for index, (words, found) in enumerate(sentences):
        starts, ends, at = set(), set(), 0
        for word in words:
            starts.add(at)
            ends.add(at + len(word))
            at += len(word) + 1
        for start, end in found:
            fits = start in starts and end in ends and start < end
            fitting += fits
            outside += end > len(words)
            if fits and end > len(words) and example is None:
                text = " ".join(words)[start:end]
                example = index, f"[{start}, {end}) leaves the {len(words)} words, as characters it is '{text}'"
    if example and fitting >= 0.8 * spans and outside >= 0.2 * spans:
        yield Finding(
            "offsets",
            "error",
            file,
            spans,
            f"character offsets are given as word offsets: {outside} of {spans} entities lie outside their sentence, "
            f"and {fitting} are whole words when 'start' and 'end' count the characters of the tokens joined by spaces",
            "write 'start' as the index of the first word and 'end' as that of the last word + 1",
            example[1],
            example[0],
        )


def _inclusive(file: str, sentences: Sequence[offsets.Annotated], spans: int) -> Iterator[Finding]:
    """Spans with `start == end`, which only an inclusive end explains."""
    same = [(i, words, s) for i, (words, found) in enumerate(sentences) for s, e in found if s == e]
    one_word = sum(e - s == 1 for _, found in sentences for s, e in found)
    if len(same) < max(LEAST, 0.05 * spans) or sum(e < s for _, found in sentences for s, e in found):
        return
    index, words, start = same[0]
    verdict = offsets.judge(sentences)
    more = ""
    if verdict and verdict.move == (0, 1):
        more = (
            f"; the words' forms explain {100 * verdict.as_is:.0f} % of which words are inside an entity, "
            f"{100 * verdict.moved:.0f} % with every 'end' one higher"
        )
    yield Finding(
        "offsets",
        "error",
        file,
        spans,
        f"'end' seems to be inclusive: {len(same)} of {spans} entities have start = end, {one_word} are one word long "
        f"as they are written{more}",
        "add 1 to every 'end' ('end' is exclusive: last word + 1)",
        f"[{start}, {start}) would be empty, with end + 1 it is {short(words[start : start + 1])}",
        index,
    )


def _shifted(file: str, sentences: Sequence[offsets.Annotated], spans: int) -> Iterator[Finding]:
    """Spans that leave their sentence by one word at an edge, or that `offsets.judge` would move."""
    found = list(offsets.findings(file, sentences))
    past = [(i, words, s, e) for i, (words, there) in enumerate(sentences) for s, e in there if e == len(words) + 1]
    before = [(i, words, s, e) for i, (words, there) in enumerate(sentences) for s, e in there if s == -1]
    outside = sum(s < 0 or e > len(words) for words, there in sentences for s, e in there)
    for cases, way, advice in (
        (past, "right: words may be counted from 1", "subtract 1 from every 'start' and 'end'"),
        (before, "left", "add 1 to every 'start' and 'end'"),
    ):
        if not found and len(cases) >= LEAST and len(cases) >= 0.9 * outside:
            index, words, start, end = cases[0]
            found.append(
                Finding(
                    "offsets",
                    "error",
                    file,
                    len(cases),
                    f"spans may lie a word too far {way}: {len(cases)} of {spans} entities leave their sentence by one word",
                    f"{advice}, or correct the conversion",
                    f"[{start}, {end}) in a sentence of {len(words)} words",
                    index,
                )
            )
    yield from found
