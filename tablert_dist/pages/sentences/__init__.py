"""Results as one self-contained HTML page."""

from tablert_dist.pages.drawing.page import Page, to_html, write_page
from tablert_dist.pages.drawing.results import DEFAULT_LIMIT, read_results, results_page, row_of
from tablert_dist.pages.sentences.build import annotated_page, texts_page

__all__ = [
    "DEFAULT_LIMIT",
    "Page",
    "annotated_page",
    "read_results",
    "results_page",
    "row_of",
    "texts_page",
    "to_html",
    "write_page",
]
