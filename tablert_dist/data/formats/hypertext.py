"""The text of a HTML page as a browser counts it: by text nodes, a `<br>` being one character."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser

BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "nav",
        "ol",
        "option",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "title",
        "tr",
        "ul",
    ]
)
"""Elements that begin and end a line, which the count leaves out."""


@dataclass(frozen=True)
class Hypertext:
    """What is shown, a line break between blocks, and where each unit of the count (UTF-16) begins in it."""

    text: str
    places: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Two positions of the count as characters of the text; what lies outside stays outside."""
        if not 0 <= start < end < len(self.places):
            return len(self.text), len(self.text) + 1
        # Not where the next unit begins: a line break may lie between.
        return self.places[start], min(self.places[end - 1] + 1, len(self.text))


def read_html(source: str) -> Hypertext:
    """Read a page, or a part of one; nothing in it is an error."""
    parser = _Parser()
    parser.feed(source.replace("\r\n", "\n").replace("\r", "\n"))
    parser.close()
    return Hypertext("".join(parser.parts), [*parser.places, parser.length])


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.places: list[int] = []
        self.length = 0

    def handle_data(self, data: str) -> None:
        for n, character in enumerate(data):
            self.places += [self.length + n] * (1 + (character > "\uffff"))
        self.parts.append(data)
        self.length += len(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self.handle_data("\n")
        else:
            self._block(tag)

    def handle_endtag(self, tag: str) -> None:
        self._block(tag)

    def _block(self, tag: str) -> None:
        if tag in BLOCKS and self.parts and not self.parts[-1].endswith(("\n", " ")):
            self.parts.append("\n")
            self.length += 1
