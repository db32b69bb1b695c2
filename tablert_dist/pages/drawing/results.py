"""The JSON lines of `tablert predict`, checked: every refusal names its line."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from tablert_dist.errors import InputError
from tablert_dist.pages.drawing.page import Page
from tablert_dist.pages.drawing.rows import Arc, Card, Mark, Row

DEFAULT_LIMIT = 2000
"""Results on one page: a browser draws these in about half a second, at each change of width."""


def read_results(lines: Iterable[str], source: str, limit: int = DEFAULT_LIMIT) -> list[Row]:
    """A row for each line that is not blank. Raises InputError naming `source`, line and reason, or `--limit`."""
    rows: list[Row] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if len(rows) == limit:
            raise over_limit(f"{source}: more than {limit} results", limit)
        try:
            rows.append(_row(line))
        except InputError as error:
            raise InputError(f"{source}: line {number}: {error}") from None
    return rows


def results_page(rows: Sequence[Row], title: str) -> Page:
    """Finished results. Their types are all that is known of the schema: colours go by name."""
    seen = {key for row in rows for key in row.types()}
    kinds = {kind: tuple(sorted(name for k, name in seen if k == kind)) for kind in ("entity", "relation")}
    cards = tuple(Card(f"{i}", (row,)) for i, row in enumerate(rows, 1))
    return Page(title, cards, kinds["entity"], kinds["relation"])


def over_limit(what: str, limit: int) -> InputError:
    """The refusal of a page that would be too long."""
    return InputError(f"{what}; a page holds {limit}: give fewer, or raise it with --limit")


def _row(line: str) -> Row:
    try:
        item = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise InputError("not JSON that can be read: it is nested too deeply") from None
    if not isinstance(item, dict):
        raise InputError("expected an object with 'text', 'entities', 'relations' (what tablert predict writes)")
    return row_of(item)


def row_of(item: Any, symmetric: Collection[str] = ()) -> Row:
    """The row of one result, `symmetric` its relation types without a direction. Raises InputError naming the field."""
    text = _field(item, "text", str, "the result")
    entities = _field(item, "entities", list, "the result")
    relations = _field(item, "relations", list, "the result")
    marks = tuple(_mark(entity, f"entity {i}") for i, entity in enumerate(entities))
    arcs = tuple(_arc(relation, f"relation {i}", symmetric) for i, relation in enumerate(relations))
    return Row(text, marks, arcs, "not read completely" if item.get("complete") is False else "")


def _mark(item: Any, where: str) -> Mark:
    start, end, kind = (_field(item, k, t, where) for k, t in (("start", int), ("end", int), ("type", str)))
    return Mark(start, end, kind, _probability(item, where))


def _arc(item: Any, where: str, symmetric: Collection[str]) -> Arc:
    head, tail, kind = (_field(item, k, t, where) for k, t in (("head", int), ("tail", int), ("type", str)))
    return Arc(head, tail, kind, _probability(item, where), symmetric=kind in symmetric)


NAMES = {str: "a string", int: "a whole number", list: "a list"}


def _field(item: Any, key: str, kind: type, where: str) -> Any:
    if not isinstance(item, dict):
        raise InputError(f"{where} is no object")
    if key not in item:
        raise InputError(f"{where} has no '{key}'")
    value = item[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"'{key}' of {where} is not {NAMES[kind]}")
    return value


def _probability(item: Any, where: str) -> float | None:
    """None where it is null or absent: gold written in the same form has none."""
    value = item.get("probability")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"'probability' of {where} is not between 0 and 1")
    return float(value)
