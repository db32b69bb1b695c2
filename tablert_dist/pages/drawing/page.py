"""The page itself: template, styles and scripts in one file that loads nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tablert_dist.pages.drawing import palette
from tablert_dist.pages.drawing.heat import tag_names
from tablert_dist.pages.drawing.html import asset, digest, environment, styles
from tablert_dist.pages.drawing.rows import Arc, Card, Row, visible
from tablert_dist.storage.atomic import write_text
from tablert_dist.tags import TagSet

SCRIPTS = ("arcs.js", "heat.js", "frame.js")
FORMATS = {"entity": "entities", "relation": "relations"}


@dataclass(frozen=True)
class ScoreRow:
    """One level's micro scores in 0–1, and the counts they come from."""

    name: str
    precision: float
    recall: float
    f1: float
    hits: int
    missed: int
    spurious: int


@dataclass(frozen=True)
class Page:
    """What is shown. `scores` where there is gold, `tags` where there are tables; `note` is a line in the head."""

    title: str
    cards: tuple[Card, ...]
    entity_types: tuple[str, ...]
    relation_types: tuple[str, ...]
    scores: tuple[ScoreRow, ...] = ()
    tags: TagSet | None = None
    note: str = ""


def to_html(page: Page) -> str:
    """The page as text: the same bytes for the same content."""
    colours = palette.assign(page.entity_types, page.relation_types)
    script = "\n".join(asset(__package__, name) for name in SCRIPTS)
    symmetric = page.tags.schema.symmetric if page.tags else frozenset()
    return TEMPLATES.get_template("page.html.jinja").render(
        page=page,
        colour=lambda kind, name: palette.classes(colours[kind, name]),
        legend=[(title, kind, getattr(page, f"{kind}_types")) for kind, title in FORMATS.items()],
        symmetric=symmetric,
        tags=_json(tag_names(page.tags, colours)) if page.tags else None,
        css=styles(__package__),
        script=Markup(script),
        digest=digest(script),
    )  # fmt: skip


def write_page(page: Page, out: Path) -> None:
    """Write the file whole or not at all. Raises InputError where it cannot be written."""
    write_text(out, to_html(page))


def _says(arc: Arc, row: Row) -> str:
    """An arc in words, for those who do not see it."""
    parts = [f"{row.words(arc.head)} – {visible(arc.type)} – {row.words(arc.tail)}"]
    parts += [f"probability {arc.probability:.2f}"] if arc.probability is not None else []
    parts += [str(arc.status)] if arc.status else []
    return ", ".join(parts)


def _json(value: Any) -> Markup:
    """JSON inside a script element: nothing in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)


TEMPLATES = environment(__package__, json_block=_json, says=_says)
