"""One result as a frame to put into another page or a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from tablert_dist.pages.drawing.page import Page, to_html
from tablert_dist.pages.drawing.rows import Arc, Card, Mark, Row

LINE_PX, HEAD_PX, CHARACTERS = 70, 300, 90
"""Height of a line of text with its labels, of everything around the text, and characters in a line."""


def framed(text: str, entities: Sequence[Any], relations: Sequence[Any], symmetric: frozenset[str]) -> str:
    """An `<iframe>` with the page of one result. What it shows can run no script but its own and load nothing."""
    page = to_html(result_page(text, entities, relations, symmetric))
    height = HEAD_PX + LINE_PX * (1 + len(text) // CHARACTERS)
    return (
        f'<iframe sandbox="allow-scripts" style="width:100%;height:{height}px;border:0" '
        f'srcdoc="{html.escape(page, quote=True)}"></iframe>'
    )


def result_page(
    text: str,
    entities: Sequence[Any],
    relations: Sequence[Any],
    symmetric: frozenset[str],
    types: tuple[Sequence[str], Sequence[str]] | None = None,
) -> Page:
    """The page of one result. `types`: entity and relation types in the order of their colours; unset: those in it.

    Entities have `start`, `end`, `type`, `probability`; relations `head` and `tail`, which are two of the entities.
    """
    marks = tuple(Mark(e.start, e.end, e.type, e.probability) for e in entities)
    places = {entity: i for i, entity in enumerate(entities)}
    arcs = tuple(
        Arc(places[r.head], places[r.tail], r.type, r.probability, symmetric=r.type in symmetric) for r in relations
    )
    first, second = types or (sorted({m.type for m in marks}), sorted({a.type for a in arcs}))
    return Page("Entities and relations", (Card("1", (Row(text, marks, arcs),)),), tuple(first), tuple(second))
