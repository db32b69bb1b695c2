"""BRAT standoff: texts in `.txt`, entities (T) and relations (R) by characters in `.ann`, a document a pair."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tablert_dist.data.formats.notes import Notes, Refused
from tablert_dist.data.formats.records import UNKNOWN, checked_integer, checked_type
from tablert_dist.data.formats.regions import Region, marks_of
from tablert_dist.data.formats.source import has_mark, lines, read_text
from tablert_dist.data.formats.spans import Link, Marked, to_sentences
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
NARY = "relations that do not have two arguments, left out"
COPIES = "._ files of a Mac, which hold no text, left out"
_ENTITY = re.compile(r"([^ \t]+) (\d{1,12} \d{1,12}(?:;\d{1,12} \d{1,12})*)")
_RELATION = re.compile(r"([^ \t]+)((?: [^ \t]+?:[^ \t]+)*)[ \t]*")


def iterate(path: Path, notes: Notes) -> Iterator[Sentence]:
    """Sentences of the documents of a folder and its sub-folders in the order of their names, or of one pair.

    Sentences are found by the project's splitter, or by line where the nearest `tools.conf`, beside the texts or above them,
    says so.
    """
    top = path if path.is_dir() else path.parent
    by_line: dict[Path, bool] = {}
    for text, file in _pairs(path, notes):
        folder = file.parent
        if folder not in by_line:
            by_line[folder] = _by_line(folder, top)
        name = file.relative_to(top).with_suffix("").as_posix()
        own = notes.apart()
        try:
            found = _document(text, file, name, by_line[folder], own)
        except Refused:
            raise
        except InputError as error:
            inside = str(error).startswith((str(file), str(text)))
            place, _, why = str(error).partition(": ") if inside else (str(file), "", str(error))
            notes.leave_out(place, why)
            continue
        notes.add(own)
        yield from found


def _by_line(folder: Path, top: Path) -> bool:
    """What the nearest `tools.conf` says, as BRAT itself looks for it, but not above the folder that is read."""
    while not (folder / TOOLS).is_file():
        if folder == top:
            return False
        folder = folder.parent
    return BY_LINE.search(read_text(folder / TOOLS)) is not None


def is_copy(file: Path) -> bool:
    """Whether a Mac left it beside the file itself: its name begins with `._`, or it lies in `__MACOSX`."""
    return file.name.startswith("._") or "__MACOSX" in file.parts


def _pairs(path: Path, notes: Notes) -> Iterator[tuple[Path, Path]]:
    if not path.is_dir():
        if path.suffix not in {".txt", ".ann"}:
            raise InputError(f"{path}: BRAT's files end in .txt and .ann: give the folder, or one of a pair")
        pair = path.with_suffix(".txt"), path.with_suffix(".ann")
        for file in pair:
            if not file.is_file():
                raise InputError(f"{path}: there is no {file.name} beside it")
        yield pair
        return
    found = False
    for file in sorted(path.rglob("*.ann")):
        if is_copy(file.relative_to(path)):
            notes.odd(COPIES, str(file))
        elif not file.with_suffix(".txt").is_file():
            notes.leave_out(str(file), f"there is no {file.stem}.txt beside it")
        else:
            yield file.with_suffix(".txt"), file
        found = True
    for text in sorted(path.rglob("*.txt")):
        if not text.with_suffix(".ann").is_file() and not is_copy(text.relative_to(path)):
            notes.count("texts without .ann, left out", str(text))
    if not found:
        raise InputError(f"{path}: no .ann file in the folder")


def _document(text_file: Path, file: Path, name: str, by_line: bool, notes: Notes) -> list[Sentence]:
    text = read_text(text_file)
    regions, links = _annotations(file, text, notes)
    try:
        marks = marks_of(text, regions, str(file), notes, has_mark(text_file))
        pieces = _lines(text) if by_line else None
        return to_sentences(Marked(text, marks, links, name, name, pieces), str(file), notes)
    except Refused:
        raise
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def _lines(text: str) -> list[Span]:
    """Half-open spans of the lines."""
    return [match.span() for match in re.finditer(r"[^\n]+", text)]


@dataclass
class _Found:
    """What the lines of a file said, so far."""

    regions: list[Region] = field(default_factory=list)
    links: list[tuple[str, Link]] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    """Ids of events and of discontinuous entities."""
    seen: set[str] = field(default_factory=set)


def _annotations(file: Path, text: str, notes: Notes) -> tuple[list[Region], list[Link]]:
    found = _Found()
    for number, line in lines(file):
        if not line.strip():
            continue
        name, _, rest = line.partition("\t")
        where = f"{file}: line {number} ({name[:20]})"
        if "\0" in line:
            raise InputError(f"{file}: line {number}: a NUL: not a text file")
        try:
            _annotation(name, rest, number, text, found, where, notes)
        except Refused:
            raise
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    return found.regions, _known(found, notes)


def _annotation(name: str, rest: str, number: int, text: str, found: _Found, where: str, notes: Notes) -> None:
    """One line, its id and what is behind, added to what was found."""
    if name != "*" and name[:1] != "#":
        if name in found.seen:
            raise InputError("the id is there twice")
        found.seen.add(name)
    if re.fullmatch(r"T\d+", name):
        region = _region(name, rest, text, number)
        if region is None:
            notes.odd(DISCONTINUOUS, where)
            found.left_out.add(name)
        else:
            found.regions.append(region)
    elif re.fullmatch(r"R\d+", name):
        link = _link(rest)
        if link is None:
            notes.odd(NARY, where)
        else:
            found.links.append((where, link))
    elif name[:1] in UNREAD and re.fullmatch(r"\*|#.*|[EAMN]\d+", name):
        notes.count(UNREAD[name[0]], where)
        found.left_out |= {name} if name[0] == "E" else set()
    else:
        raise InputError("expected an id, T1 or R1, and a tab")


def _known(found: _Found, notes: Notes) -> list[Link]:
    """The relations of entities that are read."""
    marked = {region.key for region in found.regions}
    known = []
    for where, link in found.links:
        others = [key for key in (link.head, link.tail) if key not in marked]
        if not others:
            known.append(link)
        elif unknown := [key for key in others if key not in found.left_out]:
            notes.odd(UNKNOWN, f"{where}: there is no {unknown[0]}")
        elif any(str(key).startswith("E") for key in others):
            notes.count("relations of events, left out", where)
        else:
            notes.odd("relations of discontinuous entities, left out", where)
    return known


def _region(name: str, rest: str, text: str, number: int) -> Region | None:
    head, tab, said = rest.partition("\t")
    found = _ENTITY.fullmatch(head)
    if found is None:
        raise InputError(f"expected 'TYPE START END', found {head[:60]!r}")
    parts = [[checked_integer(int(n), "an offset") for n in part.split(" ")] for part in found[2].split(";")]
    if not all(_adjoin(text, before[1], after[0]) for before, after in pairwise(parts)):
        return None
    start, end = parts[0][0], parts[-1][1]
    return Region(
        name, start, end, checked_type(found[1], "the type"), said if tab else None, None, f"line {number} ({name})"
    )


def _adjoin(text: str, end: int, start: int) -> bool:
    """Whether two fragments are one: BRAT begins a new one behind each line break."""
    if not text[end:start].strip():
        return end <= start
    # Offsets that count in another way lie beside the line break.
    return 0 <= start - end <= 2 and "\n" in text[max(end - 3, 0) : start + 3]


def _link(rest: str) -> Link | None:
    """`TYPE Arg1:T1 Arg2:T2`; whatever the roles are called, the first is the head, but for Arg1 and Arg2 swapped."""
    found = _RELATION.fullmatch(rest)
    if found is None or not found[2]:
        raise InputError(f"expected 'TYPE Arg1:T1 Arg2:T2', found {rest[:60]!r}")
    kind = checked_type(found[1], "the type")
    arguments = [part.split(":", 1) for part in found[2].split(" ")[1:]]
    if len(arguments) != 2:
        return None
    ends = [key for _, key in arguments]
    if [role for role, _ in arguments] == ["Arg2", "Arg1"]:
        ends.reverse()
    return Link(ends[0], ends[1], kind)
