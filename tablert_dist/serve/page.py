"""The page with a text box: results are drawn as `tablert render` draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from tablert_dist.pages.drawing.page import Page, to_html
from tablert_dist.pages.drawing.results import row_of
from tablert_dist.pages.drawing.rows import Card


def text_box() -> str:
    """The page at `/`; it loads nothing from elsewhere."""
    return files("tablert_dist.serve").joinpath("page.html").read_text(encoding="utf-8")


def drawn(results: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """A page of results, as `/v1/extract` gives them; `facts` is what `/v1/schema` says.

    Raises InputError where entities overlap, which one line cannot show.
    """
    cards = tuple(Card(f"{i}", (row_of(result, facts["symmetric"]),)) for i, result in enumerate(results, 1))
    return to_html(Page("Result", cards, tuple(facts["entity_types"]), tuple(facts["relation_types"])))
