"""WebAnno TSV 3, line by line: the layers of the header, the rows, and the sentences that they make."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tablert_dist.data.formats.notes import Notes
from tablert_dist.data.formats.source import lines
from tablert_dist.data.formats.webanno_cells import numbered, pieces, unescape_text, value_of
from tablert_dist.errors import InputError

FORMAT = "#FORMAT=WebAnno TSV 3"
TEXT, SENTENCE, DOCUMENT = "#Text=", "#Sentence.id=", "#Document.id="
"""What stands before a sentence; the last is our own, which WebAnno passes over as it does any other comment."""
SPAN, RELATION, CHAIN = "#T_SP=", "#T_RL=", "#T_CH="
LINGUISTIC = {
    "POS",
    "Lemma",
    "Stem",
    "MorphologicalFeatures",
    "SurfaceForm",
    "Token",
    "Sentence",
    "Dependency",
    "Chunk",
}
"""Layers of spans (by the last part of their names) that are never entities."""
LEFT_OUT = "layers that are neither entities nor their relations, left out"
_ROW = re.compile(r"([0-9]{1,9}-[0-9]{1,9})(\.[0-9]{1,9})?")
_OFFSETS = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")
_SOURCE = re.compile(r"([0-9]{1,9}-[0-9]{1,9}(?:\.[0-9]{1,9})?)(?:\[([0-9]{1,9})_([0-9]{1,9})\])?")
Key = tuple[int, object]
"""A span: its layer, and its number or what stands for one."""


@dataclass(frozen=True)
class Layer:
    """A layer that is read: the column of its types, if `typed`, else one that shows that there is an annotation.

    A layer of relations also has the column of their sources, and the layers of spans that they are between.
    """

    name: str
    column: int
    typed: bool
    source: int = 0
    bases: tuple[int, ...] = ()


@dataclass(frozen=True)
class Layout:
    """The layers of entities and of relations, and how many columns there are behind the words."""

    entities: tuple[Layer, ...]
    relations: tuple[Layer, ...]
    width: int


@dataclass(frozen=True)
class Arrow:
    """A relation to the row that it stands on: its type, the row that it comes from, the numbers of both ends or 0."""

    type: str | None
    source: str
    numbers: tuple[int, int]
    bases: tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """A token, or a part of one (`part`), with the spans that it is in."""

    id: str
    part: bool
    start: int
    end: int
    word: str
    spans: Sequence[tuple[Key, str | None]]
    arrows: Sequence[Arrow]

    @property
    def token(self) -> str:
        """The id of the token that it is, or is a part of."""
        return self.id.partition(".")[0]


@dataclass
class Block:
    """A sentence: `header` counts the headers before it, `fault` is the first thing that cannot be read."""

    header: int
    line: int = 0
    texts: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    id: str | None = None
    document: str | None = None
    fault: str | None = None

    def edge(self, last: bool) -> set[tuple[Key, str | None]]:
        """The spans with a number on the first token, or on the last one."""
        if not self.rows:
            return set()
        token = self.rows[-1 if last else 0].token
        ordered = reversed(self.rows) if last else iter(self.rows)
        found: set[tuple[Key, str | None]] = set()
        for row in ordered:
            if row.token != token:
                break
            found.update((key, label) for key, label in row.spans if isinstance(key[1], int))
        return found


def blocks(path: Path, notes: Notes) -> Iterator[Block]:
    """The sentences of a file, or of several that somebody has put together."""
    header: list[str] = []
    layout: Layout | None = None
    block = Block(0)
    for number, line in lines(path):
        if line.startswith(FORMAT):
            if block.line:
                yield block
            header, layout, block = [], None, Block(block.header + 1)
        elif block.header == 0 or line.startswith("#FORMAT="):
            raise InputError(f"{path}: line {number}: expected {FORMAT!r}, found {line[:60]!r}")
        elif layout is None and line.startswith("#T_"):
            header.append(line)
        elif not line.strip():
            if block.line:
                yield block
            block = Block(block.header)
        elif line.startswith("#"):
            if block.rows or block.fault:  # a blank line is missing
                yield block
                block = Block(block.header)
            _comment(block, number, line)
        else:
            layout = layout or layout_of(header, str(path), notes)
            block.line = block.line or number
            try:
                block.rows.append(_row(line, layout))
            except InputError as error:
                block.fault = block.fault or f"line {number}: {error}"
    if block.line:
        yield block


def _comment(block: Block, number: int, line: str) -> None:
    if line.startswith(TEXT):
        block.line = block.line or number
        block.texts.append(unescape_text(line.removeprefix(TEXT)))
    elif line.startswith(SENTENCE):
        block.id = unescape_text(line.removeprefix(SENTENCE))
    elif line.startswith(DOCUMENT):
        block.document = unescape_text(line.removeprefix(DOCUMENT))


def layout_of(header: Sequence[str], where: str, notes: Notes) -> Layout:
    """The layers of the header: entities are those that relations are between, else all that can be; the rest is counted."""
    declared: list[tuple[str, str, list[str], int]] = []
    width = 0
    for line in header:
        name, *features = line[len(SPAN) :].split("|")
        features = [feature for feature in features if feature]
        declared.append((line[: len(SPAN)], name, features, width))
        width += len(features) or 1
    spans = [item for item in declared if item[0] == SPAN and _last(item[1]) not in LINGUISTIC]
    links = [
        item
        for item in declared
        if item[0] == RELATION
        and (base := _base(item[2])) is not None
        and not {_last(item[1]), _last(base)} & LINGUISTIC
    ]
    bases = {_base(features) for _, _, features, _ in links}
    if bases and bases <= {name for _, name, _, _ in spans}:
        spans = [item for item in spans if item[1] in bases]
    entities = tuple(_layer(name, features, first) for _, name, features, first in spans)
    relations = []
    for _, name, features, first in links:
        layer, base = _layer(name, features[:-1], first), _base(features)
        own = tuple(n for n, entity in enumerate(entities) if entity.name == base) or tuple(range(len(entities)))
        relations.append(Layer(name, layer.column, layer.typed, first + len(features) - 1, own))
    read = {first for *_, first in (*spans, *links)}
    others = [_last(name) for _, name, _, first in declared if first not in read]
    if others:
        notes.count(LEFT_OUT, f"{where}: {', '.join(others)[:80]}", len(others))
    return Layout(entities, tuple(relations), width)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _base(features: Sequence[str]) -> str | None:
    """The layer of the spans that relations are between: the last column's name."""
    return features[-1].removeprefix("BT_") if features and features[-1].startswith("BT_") else None


def _layer(name: str, features: Sequence[str], first: int) -> Layer:
    plain = [
        n
        for n, feature in enumerate(features)
        # The targets of a slot stand behind its roles.
        if feature != "identifier" and not any(f.startswith("ROLE_") for f in features[max(n - 1, 0) : n + 1])
    ]
    chosen = next((n for n in plain if features[n] in ("value", "label")), plain[0] if plain else None)
    return Layer(name, first + (chosen or 0), chosen is not None)


def _row(line: str, layout: Layout) -> Row:
    columns = line.split("\t")
    if len(columns) > 3 + layout.width and not columns[-1]:
        columns.pop()
    if len(columns) != 3 + layout.width:
        raise InputError(f"{len(columns)} columns, but the header says {3 + layout.width}: found {line[:60]!r}")
    named, offsets = _ROW.fullmatch(columns[0]), _OFFSETS.fullmatch(columns[1])
    if named is None or offsets is None:
        raise InputError(f"expected 'sentence-token', 'begin-end', a word and columns, found {line[:60]!r}")
    spans: list[tuple[Key, str | None]] = []
    for n, layer in enumerate(layout.entities):
        for at, piece in enumerate(pieces(columns[3 + layer.column])):
            given, number = numbered(piece)
            key: Key = (n, (columns[0], at) if number is None else number)
            spans.append((key, value_of(given) if layer.typed else _last(layer.name)))
    arrows = [arrow for layer in layout.relations for arrow in _arrows(columns, layer)]
    return Row(columns[0], named[2] is not None, int(offsets[1]), int(offsets[2]), columns[2], spans, arrows)


def _arrows(columns: Sequence[str], layer: Layer) -> Iterator[Arrow]:
    sources = pieces(columns[3 + layer.source])
    types = pieces(columns[3 + layer.column]) if layer.typed else ["*"] * len(sources)
    if len(types) != len(sources):
        raise InputError(f"{len(types)} relations of {_last(layer.name)[:40]} from {len(sources)} rows")
    for given, source in zip(types, sources, strict=True):
        found = _SOURCE.fullmatch(source)
        if found is None:
            raise InputError(f"expected the row that a relation comes from, as 1-1[1_2], found {source[:40]!r}")
        kind_of = value_of(numbered(given)[0]) if layer.typed else _last(layer.name)
        yield Arrow(kind_of, found[1], (int(found[2] or 0), int(found[3] or 0)), layer.bases)
