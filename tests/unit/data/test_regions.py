"""Offsets that count in another way are put right by what regions say, or refused: never moved to other characters."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tablert_dist.data import formats
from tablert_dist.data.formats import Notes
from tablert_dist.data.formats.regions import FOUND, NEAR, WHOLE, Region, marks_of
from tablert_dist.data.formats.spans import Mark
from tablert_dist.errors import InputError

Counter = Callable[[str], int]
"""How long a text in front of a place is, in somebody's units."""


def utf16(before: str) -> int:
    return len(before.encode("utf-16-le")) // 2


def escaped(quote: bool) -> Counter:
    return lambda before: len(html.escape(before, quote))


def units(number: int) -> str:
    return f"entities whose offsets count {WAYS[number][0]}, put right by their own text"


WAYS: list[tuple[str, Counter, str]] = [
    ("UTF-16 units", utf16, "👩‍🚀 Edda 𝄞 met\nBo 🎉 in Brack 🎉."),
    ("a carriage return and line break as one", lambda t: len(t.replace("\r\n", "\n")), "\r\nEdda\r\nmet Bo\r\nin\r\nBrack."),
    ("a line break as two", lambda t: len(t.replace("\n", "\r\n")), "\nEdda\nmet Bo\nin\nBrack."),
    ("characters written as &...; as one", lambda t: len(html.unescape(t)), "&amp; Edda &#233; met Bo &lt; in &#x20AC; Brack."),
    ("&, < and > as &...;", escaped(False), "A & B: Edda < met Bo > in & Brack."),
    ("quotes, &, < and > as &...;", escaped(True), "\"A\" Edda 'met' Bo & in \"Brack\"."),
    ("bytes of UTF-8", lambda t: len(t.encode()), "Sæby: Edda mødte Bo på Brack."),
]  # fmt: skip
NAMED = ["Edda", "Bo", "Brack"]


def region(text: str, place: int, said: str | None, count: Counter = len, n: int = 0, length: int = 0) -> Region:
    """What a tool that counts by `count` writes of the characters from `place` on."""
    end = place + (length or len(said or ""))
    return Region(n, count(text[:place]), count(text[:end]), "T", said, None, f"entities[{n}]")


def read(text: str, regions: list[Region], marked: bool = False) -> tuple[list[str], dict[str, int]]:
    notes = Notes()
    marks = marks_of(text, regions, "x", notes, marked)
    assert [mark.key for mark in marks] == [r.key for r in regions]
    return [text[m.start : m.end] for m in marks], {what: number for what, number, _ in notes.counts()}


@pytest.mark.parametrize("way", range(len(WAYS)))
def test_every_other_way_of_counting(way: int) -> None:
    _, count, text = WAYS[way]
    regions = [region(text, text.index(said), said, count, n) for n, said in enumerate(NAMED)]
    moved = sum(r.start != text.index(said) for r, said in zip(regions, NAMED, strict=True))
    assert moved >= 2, "the counts differ"
    assert read(text, regions) == (NAMED, {units(way): moved})
    # A region without a text goes with the others.
    silent = [*regions, region(text, text.index("Bo"), None, count, 9, length=2)]
    assert read(text, silent)[0] == [*NAMED, "Bo"]


def test_a_byte_order_mark_counts_where_there_was_one() -> None:
    text = "Edda met Bo in Brack."
    regions = [region(text, text.index(said), said, lambda before: len(before) + 1, n) for n, said in enumerate(NAMED)]
    said = "entities whose offsets count a byte order mark, put right by their own text"
    assert read(text, regions, marked=True) == (NAMED, {said: 3})
    assert read(text, regions, marked=False) == (NAMED, {FOUND: 3})


def test_ways_that_are_mixed_are_told_region_by_region() -> None:
    text = "👩‍🚀 Edda met\nBo in Brack 🎉 & Sæby."
    counters: list[Counter] = [len, utf16, lambda t: len(t.encode())]
    said = ["Edda", "Bo", "Sæby"]
    regions = [region(text, text.index(s), s, c, n) for n, (s, c) in enumerate(zip(said, counters, strict=True))]
    assert read(text, regions) == (said, {units(0): 1, units(6): 1})


def test_own_text_that_stands_once_near_puts_offsets_right() -> None:
    text = "Edda met Bo in Brack."
    regions = [Region(0, 7, 9, "T", "Bo", None, "r0"), Region(1, 0, 4, "T", "Edda", None, "r1")]
    assert read(text, regions) == (["Bo", "Edda"], {FOUND: 1})
    beyond = [Region(0, 90, 95, "T", "Brack", None, "r0")]
    assert read(text, beyond) == (["Brack"], {FOUND: 1})


@pytest.mark.parametrize(
    ("text", "said"), [("Bo met Bo.", "Bo"), ("aaa bbb", "aa"), ("Bo  Lund and Bo\nLund", "Bo Lund"), ("Edda", "Bo")]
)
def test_own_text_that_stands_twice_or_never_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=r"entities\[3\]: its 'text' is") as caught:
        read(text, [Region(3, 1, 2, "T", said, None, "entities[3]")])
    assert ("several times" in str(caught.value)) == (said != "Bo" or "Edda" not in text)


def test_what_is_near_is_preferred_and_far_is_looked_at_in_short_texts_alone() -> None:
    far = " x" * NEAR
    text = f"Bo{far} Bo runs"
    at = text.rindex("Bo")
    assert read(text, [Region(0, at + 3, at + 5, "T", "Bo", None, "r")]) == (["Bo"], {FOUND: 1})
    notes = Notes()
    (mark,) = marks_of(text, [Region(0, at + 3, at + 5, "T", "Bo", None, "r")], "x", notes)
    assert mark.start == at
    (mark,) = marks_of(f"Ida{far} Bo", [Region(0, len(far) + 4, len(far) + 6, "T", "Ida", None, "r")], "x", notes)
    assert mark == Mark(0, 0, 3, "T")
    long = f"Ida{' x' * WHOLE} Bo"
    with pytest.raises(InputError, match="'text' is 'Ida'"):
        read(long, [Region(0, len(long) - 2, len(long), "T", "Ida", None, "r")])


def test_without_a_quoted_text_no_offset_is_moved() -> None:
    text = "👩‍🚀 Edda & Bo\r\n."
    spans = [(3, 5), (0, 1), (4, 9), (5, 5 + len(text))]
    regions = [Region(n, a, b, "T", None, None, "r") for n, (a, b) in enumerate(spans)]
    notes = Notes()
    assert [(m.start, m.end) for m in marks_of(text, regions, "x", notes)] == spans and notes.lines() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [("Edda  Lund", "Edda Lund"), ("Edda\nLund", "Edda Lund"), ("Edda\nLund", "Edda\\nLund"), ("Edda Lund", " Edda Lund\n"),
     ("Edda & Lund", "Edda &amp; Lund"), ("Edda &amp; Lund", "Edda & Lund"), ("Edda\u00a0Lund", "Edda Lund")],
)  # fmt: skip
def test_white_space_and_escapes_may_differ(text: str, said: str) -> None:
    whole = f"At noon {text} left."
    given = [Region(0, 8, 8 + len(text), "T", said, None, "r")]
    assert read(whole, given) == ([text], {})


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 3), (5, 2)])
def test_offsets_that_are_no_span_are_refused_whatever_is_said(start: int, end: int) -> None:
    with pytest.raises(InputError, match=r"entities\[0\]: .* lies outside the text of 4 characters, or is empty"):
        read("Edda", [Region(0, start, end, "T", "Edda", None, "entities[0]")])


PIECES = st.lists(
    st.sampled_from(["a", "b", " ", "\n", "\r\n", "\r", "&", "&amp;", "&lt;", "<", '"', "é", "👩", "𝄞", "'", "\u00a0", "\\n"]),
    min_size=1,
    max_size=25,
)  # fmt: skip
COUNTERS: list[Counter] = [len, *(count for _, count, _ in WAYS), lambda before: len(before) + 1]


@settings(max_examples=200)
@given(PIECES, st.data())
def test_what_is_said_is_what_is_marked_or_it_is_refused(pieces: list[str], data: st.DataObject) -> None:
    """Texts of all that is counted in several ways; each region counted in one of them, or all in the same."""
    text = "".join(pieces)
    spans = st.tuples(st.integers(0, len(text) - 1), st.integers(1, 8)).map(
        lambda p: (p[0], min(p[0] + p[1], len(text)))
    )
    chosen = data.draw(st.lists(spans, min_size=1, max_size=4))
    same = data.draw(st.booleans())
    counts = data.draw(st.lists(st.sampled_from(COUNTERS), min_size=1 if same else len(chosen), max_size=len(chosen)))
    regions = [
        region(text, start, text[start:end], counts[0 if same else n], n) for n, (start, end) in enumerate(chosen)
    ]
    notes = Notes()
    try:
        marks = marks_of(text, regions, "x", notes, data.draw(st.booleans()))
    except InputError as error:
        assert "\n" not in str(error)
        assert same is False or counts[0] is not len, "what counts as we do is never refused"
        return
    for mark, (start, end) in zip(marks, chosen, strict=True):
        assert plain(text[mark.start : mark.end]) == plain(text[start:end])


def plain(text: str) -> list[str]:
    """Without white space and escapes, which may differ."""
    return html.unescape(text.replace("\\n", "\n")).split()


def test_a_file_with_several_ways_of_counting(tmp_path: Path) -> None:
    """Each record for itself: what suits one says nothing of the next."""
    records: list[Any] = []
    for _, count, text in WAYS:
        entities = [
            {
                "start": count(text[: text.index(s)]),
                "end": count(text[: text.index(s) + len(s)]),
                "text": s,
                "type": "T",
            }
            for s in NAMED
        ]
        records.append({"text": text, "entities": entities})
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in records), encoding="utf-8")
    notes = Notes(strict=True)
    found = formats.read(path, "auto", notes)
    marked = [s.text_of(e) for s in found for e in s.entities]
    assert marked == NAMED * len(WAYS) and len(notes.lines()) == len(WAYS)
