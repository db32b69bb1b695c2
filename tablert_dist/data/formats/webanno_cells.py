"""WebAnno TSV 3, cell by cell: what stands in one on top of another, and what is escaped in values and in texts."""

from __future__ import annotations

import re

_NUMBERED = re.compile(r"(.*)\[([0-9]{1,9})\]", re.DOTALL)
_RESERVED = re.compile(r"->|[\\\[\]|_;*\t\n]")
_NAMED = {"\t": "t", "\n": "n", "\f": "f", "\r": "r", "\b": "b", "\\": "\\"}
_CHARACTERS = {name: character for character, name in _NAMED.items()}


def pieces(cell: str) -> list[str]:
    """The annotations that a cell has, one on the other."""
    if cell in ("_", ""):
        return []
    if "\\" not in cell:
        return cell.split("|")
    found, start = [], 0
    for part in re.finditer(r"\\.|\|", cell):
        if part[0] == "|":
            found.append(cell[start : part.start()])
            start = part.end()
    return [*found, cell[start:]]


def numbered(piece: str) -> tuple[str, int | None]:
    """A value and its number, which is in brackets that are not escaped."""
    found = _NUMBERED.fullmatch(piece)
    if found is None or (len(found[1]) - len(found[1].rstrip("\\"))) % 2:
        return piece, None
    return found[1], int(found[2])


def value_of(given: str) -> str | None:
    """What a feature says; nothing where it has no value."""
    return None if given in ("*", "_") else re.sub(r"\\(->|.)", lambda m: {"t": "\t", "n": "\n"}.get(m[1], m[1]), given)


def escape_value(value: str) -> str:
    """As WebAnno escapes features."""
    return _RESERVED.sub(lambda m: "\\" + {"\t": "t", "\n": "n"}.get(m[0], m[0]), value)


def escape_text(text: str) -> str:
    """As WebAnno escapes texts."""
    return re.sub(r"[\t\n\f\r\x08\\]", lambda m: "\\" + _NAMED[m[0]], text)


def unescape_text(text: str) -> str:
    """What WebAnno has escaped; before version 3.2 also \\uXXXX, for each unit of UTF-16."""
    if "\\" not in text:
        return text
    found = re.sub(r"\\(u([0-9a-fA-F]{4})|.)", _unescaped, text, flags=re.DOTALL)
    return found.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _unescaped(found: re.Match[str]) -> str:
    if found[2]:
        return chr(int(found[2], 16))
    return _CHARACTERS.get(found[1], found[1] if found[1] < " " else found[0])
