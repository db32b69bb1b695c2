"""Regions of a text that say themselves what they mark: offsets that count in another way are put right by it."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tablert_dist.data.formats.notes import Notes
from tablert_dist.data.formats.spans import Mark
from tablert_dist.errors import InputError
from tablert_dist.text import Span

NEAR = 200
"""Characters before and behind a region in which its own text is looked for."""
WHOLE = 20_000
"""Characters of a text in all of which it is looked for."""
FOUND = "entities whose offsets were put right by their own text, which stands once near them"
_HTML = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


@dataclass(frozen=True)
class Region:
    """What a file says of an entity: `key` for relations, offsets, type, and in `said` the text that is marked, if it does.

    `name` is what the region is called in messages.
    """

    key: object
    start: int
    end: int
    type: str
    said: str | None
    probability: float | None
    name: str


def counted_as(part: Callable[[str], int], pattern: str = ".") -> Callable[[str], list[int]]:
    """Where each unit begins, in characters, in a text whose parts are `part(...)` units long; at the end its length."""
    found = re.compile(pattern, re.DOTALL)

    def starts(text: str) -> list[int]:
        places = [m.start() for m in found.finditer(text) for _ in range(part(m[0]))]
        return [*places, len(text)]

    return starts


def _escaped(quote: bool) -> Callable[[str], int]:
    return lambda c: len(html.escape(c, quote))


WAYS: dict[str, tuple[Callable[[str], bool], Callable[[str], list[int]]]] = {
    "UTF-16 units": (lambda t: any(c > "\uffff" for c in t), counted_as(lambda c: 1 + (c > "\uffff"))),
    "a carriage return and line break as one": (lambda t: "\r\n" in t, counted_as(lambda c: 1, "\r\n|.")),
    "a line break as two": (lambda t: "\n" in t and "\r" not in t, counted_as(lambda c: 1 + (c == "\n"))),
    "characters written as &...; as one": (lambda t: "&" in t, counted_as(lambda c: 1, f"{_HTML.pattern}|.")),
    "&, < and > as &...;": (lambda t: any(c in t for c in "&<>"), counted_as(_escaped(False))),
    "quotes, &, < and > as &...;": (lambda t: any(c in t for c in "\"'"), counted_as(_escaped(True))),
    "bytes of UTF-8": (lambda t: not t.isascii(), counted_as(lambda c: len(c.encode("utf-8", "surrogatepass")))),
    "a byte order mark": (lambda t: True, lambda t: [0, *range(len(t) + 1)]),
}
"""How else offsets may count, for which texts that makes a difference, and where the units begin."""


def marks_of(text: str, regions: Sequence[Region], where: str, notes: Notes, marked: bool = False) -> list[Mark]:
    """The regions on characters of the text. Where what one says is not there, another way of counting is looked for.

    One that suits all the regions is taken; else, for each, the one place that a way of counting or its own text near
    its offsets gives. `marked`: whether the text had a byte order mark. Raises InputError where there is none, or several.
    """
    for region in regions:
        if region.start >= region.end or region.start < 0:
            raise InputError(
                f"{region.name}: [{region.start}, {region.end}) lies outside the text of {len(text)} characters, or is empty"
            )
    quoting = any(region.said is not None for region in regions)
    if not quoting or all(_fits(text, r, (r.start, r.end)) for r in regions):
        return [_mark(r, (r.start, r.end)) for r in regions]
    ways = {
        name: starts(text)
        for name, (differs, starts) in WAYS.items()
        if differs(text) and (marked or name != "a byte order mark")
    }
    for name, places in ways.items():
        spans = [_moved(r, places) for r in regions]
        if all(span and _fits(text, r, span) for r, span in zip(regions, spans, strict=True)):
            _say(name, sum(s != (r.start, r.end) for r, s in zip(regions, spans, strict=True)), where, notes)
            return [_mark(r, span) for r, span in zip(regions, spans, strict=True) if span]
    return [_mark(r, _alone(text, r, ways, where, notes)) for r in regions]


def _alone(text: str, region: Region, ways: dict[str, list[int]], where: str, notes: Notes) -> Span:
    """The one place that a region can mean."""
    here = (region.start, region.end)
    if region.said is None or _fits(text, region, here):
        return here
    at = f"{where}: {region.name}"
    spans = {name: span for name, places in ways.items() if (span := _moved(region, places))}
    fitting = {span: name for name, span in spans.items() if _fits(text, region, span)}
    if len(fitting) == 1:
        (span, name), *_ = fitting.items()
        _say(name, 1, at, notes)
        return span
    near = list(_near(text, region)) if not fitting else []
    if len(near) == 1:
        notes.count(FOUND, at)
        return near[0]
    inside = text[region.start : region.end]
    several = " and stands several times near them" if fitting or near else ""
    raise InputError(
        f"{region.name}: its 'text' is {str(region.said)[:60]!r}{several}, but characters [{region.start}, {region.end}) "
        f"are {inside[:60]!r} (counted in Unicode characters, 'end' is exclusive)"
    )


def _near(text: str, region: Region) -> Iterator[Span]:
    """Where what is said stands: near the offsets, else anywhere in a short text; two places at most."""
    words = (region.said or "").split()
    if not words:
        return
    pattern = re.compile(r"\s+".join(map(re.escape, words)))
    bounds = [(max(region.start - NEAR, 0), min(region.end + NEAR, len(text)))]
    if len(text) <= WHOLE:
        bounds.append((0, len(text)))
    for first, last in bounds:
        found = pattern.search(text, first, last)
        if found is None:
            continue
        yield found.span()
        # From the next character on: a second place may overlap the first.
        if again := pattern.search(text, found.start() + 1, last):
            yield again.span()
        return


def _moved(region: Region, places: Sequence[int]) -> Span | None:
    if region.end >= len(places):
        return None
    span = places[region.start], places[region.end]
    return span if span[0] < span[1] else None


def _fits(text: str, region: Region, span: Span) -> bool:
    """Whether the span lies in the text and is what the region says, white space aside."""
    if span[1] > len(text):
        return False
    if region.said is None:
        return True
    inside, said = text[span[0] : span[1]], region.said
    if inside == said:
        return True
    # Some exports write a line break as the two characters \n, and what a page shows has no &amp;.
    ways = (said, said.replace("\\n", "\n"), html.unescape(said))
    return any(inside.split() == way.split() for way in ways) or html.unescape(inside).split() == said.split()


def _say(name: str, number: int, where: str, notes: Notes) -> None:
    if number:
        notes.count(f"entities whose offsets count {name}, put right by their own text", where, number)


def _mark(region: Region, span: Span) -> Mark:
    return Mark(region.key, *span, region.type, region.probability)
