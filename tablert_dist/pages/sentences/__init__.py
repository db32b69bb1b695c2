"""Results as one self-contained HTML page."""

from tablert_dist.pages.drawing.page import Page, to_html, write_page
from tablert_dist.pages.sentences.build import annotated_page, results_page, texts_page
from tablert_dist.pages.sentences.results import DEFAULT_LIMIT, read_results, row_of

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
