"""The words themselves: entities that begin or end with punctuation, white space in words, characters nobody sees."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator

from tablert_dist.data.validation.finding import Case, Finding, SplitPart, short
from tablert_dist.errors import counted
from tablert_dist.schema import Sentence

EDGES = 0.02
"""Share of entities with a punctuation mark at an edge from which it is no accident."""
OPENING, CLOSING = frozenset("([{"), frozenset(")]}%!?'\"”’″′")
"""What may well begin and end a name: `( S )-citalopram`, `Yahoo !`."""


def find(case: Case) -> Iterator[Finding]:
    """For each split: edges of entities, white space, invisible characters."""
    for part in case.parts:
        yield from _edges(part)
        yield from _characters(
            part, "white-space", _spaced, "has white space in it", "trim the words, and split them at the white space"
        )
        yield from _characters(
            part,
            "invisible",
            _invisible,
            "has characters that cannot be seen",
            "take them out, unless the language is written with them: then nothing",
        )


def _edges(part: SplitPart) -> Iterator[Finding]:
    total = sum(len(s.entities) for s in part.sentences)
    found = []
    for index, sentence in enumerate(part.sentences):
        for entity in sentence.entities:
            first, last = sentence.words[entity.start], sentence.words[entity.end - 1]
            closes = last in CLOSING or (last == "." and _abbreviated(sentence.words[entity.start : entity.end - 1]))
            if (_mark(first) and first not in OPENING) or (_mark(last) and not closes):
                found.append((index, sentence, entity))
    if not found:
        return
    index, sentence, entity = found[0]
    count = len(found)
    yield Finding(
        "edge-punctuation",
        "warning" if count > EDGES * total else "note",
        part.file,
        count,
        f"{count} of {counted(total, 'entity', 'entities')} {'begins or ends' if count == 1 else 'begin or end'} with a "
        "punctuation mark",
        "look whether the span is a word too long; shorten it, or leave out an entity of nothing but marks",
        f"{entity.type} {short([sentence.text_of(entity)])}",
        index,
    )


def _abbreviated(words: tuple[str, ...]) -> bool:
    """Whether a full stop after these words may be part of the name, as in `Harrow Ltd .` or `N.Y .`."""
    return bool(words) and (len(words[-1]) <= 4 or "." in words[-1])


def _mark(word: str) -> bool:
    return all(unicodedata.category(c)[0] == "P" for c in word)


def _spaced(word: str) -> bool:
    return word != word.strip() or any(c.isspace() for c in word)


def _invisible(word: str) -> bool:
    return any(unicodedata.category(c) in {"Cc", "Cf", "Co", "Cn"} and not c.isspace() for c in word)


def _characters(part: SplitPart, check: str, fault: Callable[[str], bool], says: str, advice: str) -> Iterator[Finding]:
    found = [(i, word) for i, s in enumerate(part.sentences) for word in _faulty(s, fault)]
    if found:
        index, word = found[0]
        inside = "" if len(found) == 1 else f", {len(found)} in all"
        yield Finding(check, "warning", part.file, len(found), f"a word {says}{inside}", advice, ascii(word), index)


def _faulty(sentence: Sentence, fault: Callable[[str], bool]) -> list[str]:
    return [word for word in sentence.words if fault(word)]
