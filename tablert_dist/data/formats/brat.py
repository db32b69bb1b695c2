"""BRAT standoff: texts in `.txt`, entities (T) and relations (R) by characters in `.ann`, a document a pair."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tablert_dist.data.formats.notes import Notes
from tablert_dist.data.formats.records import checked_integer, checked_type
from tablert_dist.data.formats.source import lines, read_text
from tablert_dist.data.formats.spans import Link, Mark, Marked, to_sentences
from tablert_dist.errors import InputError
from tablert_dist.schema import Sentence
from tablert_dist.text import Span

TOOLS = "tools.conf"
"""BRAT's own settings, beside the texts; what it says of sentences is followed."""
BY_LINE = re.compile(r"^\s*Sentences\s+splitter\s*:\s*newline\s*$", re.MULTILINE)
UNREAD = {
    "E": "events, left out",
    "A": "attributes, left out",
    "M": "attributes, left out",
    "N": "normalisations, left out",
    "#": "notes of annotators, left out",
    "*": "equivalences, left out",
}
DISCONTINUOUS = "discontinuous entities, left out"
_ENTITY = re.compile(r"(\S+) (\d+ \d+(?:;\d+ \d+)*)")
_RELATION = re.compile(r"(\S+) (\S+?):(\S+) (\S+?):(\S+)\s*")


def iterate(path: Path, notes: Notes) -> Iterator[Sentence]:
    """Sentences of a folder's documents in the order of their names, or of one pair named by either file.

    Sentences are found by the project's splitter, or by line where a `tools.conf` beside the texts says so. Raises
    InputError naming file, line and reason.
    """
    folder = path if path.is_dir() else path.parent
    tools = folder / TOOLS
    by_line = tools.is_file() and BY_LINE.search(read_text(tools)) is not None
    for text, file in _pairs(path, notes):
        yield from _document(text, file, by_line, notes)


def _pairs(path: Path, notes: Notes) -> list[tuple[Path, Path]]:
    if not path.is_dir():
        if path.suffix not in {".txt", ".ann"}:
            raise InputError(f"{path}: BRAT's files end in .txt and .ann: give the folder, or one of a pair")
        pair = path.with_suffix(".txt"), path.with_suffix(".ann")
        for file in pair:
            if not file.is_file():
                raise InputError(f"{path}: there is no {file.name} beside it")
        return [pair]
    found = []
    for file in sorted(path.glob("*.ann")):
        if not file.with_suffix(".txt").is_file():
            raise InputError(f"{file}: there is no {file.stem}.txt beside it")
        found.append((file.with_suffix(".txt"), file))
    for text in sorted(path.glob("*.txt")):
        if not text.with_suffix(".ann").is_file():
            notes.count("texts without .ann, left out", str(text))
    if not found:
        raise InputError(f"{path}: no .ann file in the folder")
    return found


def _document(text_file: Path, file: Path, by_line: bool, notes: Notes) -> list[Sentence]:
    text = read_text(text_file)
    marks, links = _annotations(file, text, notes)
    pieces = _lines(text) if by_line else None
    try:
        found = to_sentences(Marked(text, marks, links, file.stem, file.stem, pieces), str(file), notes)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    return found


def _lines(text: str) -> list[Span]:
    """Half-open spans of the lines."""
    return [match.span() for match in re.finditer(r"[^\n]+", text)]


def _annotations(file: Path, text: str, notes: Notes) -> tuple[list[Mark], list[Link]]:
    marks: list[Mark] = []
    links: list[tuple[str, Link]] = []
    seen: set[str] = set()
    left_out: set[str] = set()
    for number, line in lines(file):
        if not line.strip():
            continue
        name, _, rest = line.partition("\t")
        where = f"{file}: line {number} ({name[:20]})"
        if "\0" in line:
            raise InputError(f"{file}: line {number}: a NUL: not a text file")
        try:
            if name != "*" and name[:1] != "#":
                if name in seen:
                    raise InputError("the id is there twice")
                seen.add(name)
            if re.fullmatch(r"T\d+", name):
                mark = _mark(name, rest, text)
                if mark is None:
                    notes.count(DISCONTINUOUS, where)
                    left_out.add(name)
                else:
                    marks.append(mark)
            elif re.fullmatch(r"R\d+", name):
                links.append((where, _link(rest)))
            elif name[:1] in UNREAD and re.fullmatch(r"\*|#.*|[EAMN]\d+", name):
                notes.count(UNREAD[name[0]], where)
                left_out |= {name} if name[0] == "E" else set()
            else:
                raise InputError("expected an id, T1 or R1, and a tab")
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    return marks, _known(links, {mark.key for mark in marks}, left_out, notes)


def _known(links: list[tuple[str, Link]], marked: set[object], left_out: set[str], notes: Notes) -> list[Link]:
    """The relations of entities that are read; an id that the file does not have is an error."""
    found = []
    for where, link in links:
        for key in (link.head, link.tail):
            if key not in marked and key not in left_out:
                raise InputError(f"{where}: there is no {key}")
        if link.head in marked and link.tail in marked:
            found.append(link)
        else:
            notes.count("relations of events or of discontinuous entities, left out", where)
    return found


def _mark(name: str, rest: str, text: str) -> Mark | None:
    head, tab, said = rest.partition("\t")
    found = _ENTITY.fullmatch(head)
    if found is None:
        raise InputError(f"expected 'TYPE START END', found {head[:60]!r}")
    if ";" in found[2]:
        return None
    if len(found[2]) > 40:
        raise InputError("its offsets are out of range")
    start, end = (checked_integer(int(n), "an offset") for n in found[2].split(" "))
    if not 0 <= start < end <= len(text):
        raise InputError(f"[{start}, {end}) lies outside the text of {len(text)} characters, or is empty")
    inside = text[start:end]
    # BRAT writes a line break as a space.
    if tab and said not in {inside, inside.replace("\n", " "), inside.replace("\r", " ").replace("\n", " ")}:
        raise InputError(
            f"characters [{start}, {end}) of the text are {inside[:60]!r}, not {said[:60]!r} "
            "(counted in Unicode characters, a line break with a carriage return being two)"
        )
    return Mark(name, start, end, checked_type(found[1], "the type"))


def _link(rest: str) -> Link:
    """`TYPE Arg1:T1 Arg2:T2`; whatever the roles are called, the first is the head, but for Arg1 and Arg2 swapped."""
    found = _RELATION.fullmatch(rest)
    if found is None:
        raise InputError(f"expected 'TYPE Arg1:T1 Arg2:T2', found {rest[:60]!r}")
    kind = checked_type(found[1], "the type")
    ends = [found[3], found[5]]
    if (found[2], found[4]) == ("Arg2", "Arg1"):
        ends.reverse()
    return Link(ends[0], ends[1], kind)
