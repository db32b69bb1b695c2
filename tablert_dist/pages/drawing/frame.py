"""One result as a frame to put into a notebook."""

from __future__ import annotations

import html
from collections.abc import Collection, Mapping
from typing import Any

from tablert_dist.pages.drawing.page import to_html
from tablert_dist.pages.drawing.results import results_page, row_of

LINE_PX, HEAD_PX, CHARACTERS = 70, 300, 90
"""Height of a line of text with its labels, of everything around the text, and characters in a line."""


def framed(result: Mapping[str, Any], symmetric: Collection[str]) -> str:
    """An `<iframe>` with the page of one result, as `Extraction.to_json` has it.

    What it shows can run no script but its own and load nothing.
    """
    row = row_of(result, symmetric)
    page = to_html(results_page([row], "Entities and relations"))
    height = HEAD_PX + LINE_PX * (1 + len(row.text) // CHARACTERS)
    return (
        f'<iframe sandbox="allow-scripts" style="width:100%;height:{height}px;border:0" '
        f'srcdoc="{html.escape(page, quote=True)}"></iframe>'
    )
