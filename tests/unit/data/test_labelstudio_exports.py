"""Label Studio's exports of every kind: HyperText, before version 1.0, JSON-MIN, several strings, items that are at fault."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tablert_dist.data import formats
from tablert_dist.data.formats import Notes
from tablert_dist.errors import InputError
from tablert_dist.schema import Sentence


def read(folder: Path, *tasks: Any, notes: Notes | None = None) -> tuple[list[Sentence], list[str]]:
    notes = Notes() if notes is None else notes
    path = folder / "export.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    assert formats.detect(path, notes) == "labelstudio"
    return formats.read(path, "auto", notes), [f"{number} {what}" for what, number, _ in notes.counts()]


def said(sentences: list[Sentence]) -> list[tuple[str, str]]:
    return [(e.type, s.text_of(e)) for s in sentences for e in s.entities]


def label(key: str, start: int, end: int, text: str, kind: str = "Per") -> dict[str, Any]:
    return {"id": key, "type": "labels", "value": {"start": start, "end": end, "text": text, "labels": [kind]}}


def relation(head: str, tail: str, *labels: str) -> dict[str, Any]:
    return {"type": "relation", "from_id": head, "to_id": tail, "direction": "right", "labels": list(labels)}


def shown(key: str, start: int, end: int, text: str | None, kind: str = "Per") -> dict[str, Any]:
    value: dict[str, Any] = {
        "start": "/div[1]/text()[1]", "end": "/div[1]/text()[1]", "startOffset": 0, "endOffset": 1,
        "globalOffsets": {"start": start, "end": end}, "hypertextlabels": [kind],
    }  # fmt: skip
    return {"id": key, "type": "hypertextlabels", "value": value | ({} if text is None else {"text": text})}


class Page(HTMLParser):
    """The count of a browser in units of UTF-16, made independently: every text node, and a `<br>` as one."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.shown = ""
        self.feed(page)
        self.close()

    def handle_data(self, data: str) -> None:
        self.shown += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shown += "\n" if tag == "br" else ""

    def place(self, text: str) -> tuple[int, int]:
        at = self.shown.index(text)
        return tuple(len(self.shown[:n].encode("utf-16-le")) // 2 for n in (at, at + len(text)))  # type: ignore[return-value]


PAGES = {
    "nested": ("<div><p>Edda <i>Lund <b>runs</b></i> Brack <u>Mills</u>.</p></div>", ["Edda Lund", "Brack Mills"]),
    "break": ("Edda Lund<br>runs<br/>Brack Mills.", ["Edda Lund", "runs\nBrack"]),
    "blocks": ("<h1>Edda</h1><p>Lund runs</p><ul><li>Brack</li><li>Mills</li></ul>", ["Edda", "Lund", "Brack", "Mills"]),
    "entities": ("<p>Edda &amp; Bo run Brack&nbsp;Mills &#8211; s&oelig;ur&#x1F600; Ida.</p>", ["Edda & Bo", "Ida"]),
    "astral": ("<p>👩‍🚀 Edda 𝄞</p><p>🎉🎉 runs <b>Brack 🎉 Mills</b></p>", ["Edda", "Brack 🎉 Mills", "runs"]),
    "lines": ("<div>\n  <p>Edda\n Lund</p>\r\n\r\n  <p>Brack</p>\n</div>", ["Brack"]),
    "not closed": ("<p>Edda <b>Lund<p>runs <i>Brack", ["Lund", "Brack"]),
}  # fmt: skip


@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("case", PAGES)
def test_pages_are_read_by_the_count_of_a_browser(case: str, quoted: bool, tmp_path: Path) -> None:
    source, names = PAGES[case]
    page = Page(source.replace("\r\n", "\n"))
    regions = [shown(f"r{n}", *page.place(name), name if quoted else None) for n, name in enumerate(names)]
    links = [relation("r0", f"r{len(names) - 1}", "runs")]
    task = {"id": 3, "data": {"html": source}, "annotations": [{"result": regions + links}]}
    sentences, counted = read(tmp_path, task)
    found = [" ".join(text.split()) for _, text in said(sentences)]
    assert sorted(found) == sorted(" ".join(name.split()) for name in names)
    assert not any("<" in s.text or "&amp;" in s.text for s in sentences if s.text)
    related = [(s.text_of(r.head), s.text_of(r.tail)) for s in sentences for r in s.relations]
    assert related == [(found[0], found[-1])] or counted == ["1 relations across sentences, left out"]


def test_words_of_two_blocks_are_never_one(tmp_path: Path) -> None:
    task = {"data": {"text": "<p>Edda</p><p>Lund</p>"}, "annotations": [{"result": [shown("a", 4, 8, "Lund")]}]}
    sentences, _ = read(tmp_path, task)
    assert [w for s in sentences for w in s.words] == ["Edda", "Lund"] and said(sentences) == [("Per", "Lund")]


@pytest.mark.parametrize(("start", "end"), [(0, 400), (-1, 3), (400, 401), (5, 5), (9, 4)])
def test_offsets_outside_a_page_are_refused_or_put_right_by_their_own_text(
    start: int, end: int, tmp_path: Path
) -> None:
    def task(text: str | None) -> Any:
        return {"data": {"text": "<p>Edda runs.</p>"}, "annotations": [{"result": [shown("a", start, end, text)]}]}

    with pytest.raises(InputError, match=r"record 0: .*lies outside the text"):
        read(tmp_path, task(None))
    assert said(read(tmp_path, task("Edda"))[0]) == [("Per", "Edda")]
    with pytest.raises(InputError, match=r"record 0: result\[0\]: its 'text' is 'Ida'"):
        read(tmp_path, task("Ida"))


WORDS = st.sampled_from(["Edda", "Bo", "👩", "a", ".", " ", "\n", "&amp;", "&lt;", "é", "𝄞"])
TAGS = st.sampled_from(
    ["<br>", "<p>", "</p>", "<b>", "</b>", "<div>", "</div>", "<i class='x'>", "</i>", "<br/>", "<!-- x -->"]
)


@settings(max_examples=120)
@given(st.lists(st.one_of(WORDS, TAGS), min_size=1, max_size=20), st.data())
def test_every_place_of_random_pages_is_what_a_browser_marks(pieces: list[str], data: st.DataObject) -> None:
    from tablert_dist.data.formats.hypertext import read_html

    source = "".join(pieces)
    page, ours = Page(source), read_html(source)
    if not page.shown.strip():
        return
    start = data.draw(st.integers(0, len(page.shown) - 1))
    end = data.draw(st.integers(start + 1, len(page.shown)))
    first, last = (len(page.shown[:n].encode("utf-16-le")) // 2 for n in (start, end))
    a, b = ours.span(first, last)
    assert "".join(ours.text[a:b].split()) == "".join(page.shown[start:end].split())
    assert "".join(ours.text.split()) == "".join(page.shown.split())


def test_exports_of_before_version_one(tmp_path: Path) -> None:
    result = [label("a", 0, 9, "Edda Lund"), label("b", 15, 20, "Brack", "Org"), relation("a", "b", "runs")]
    old = {"id": 1, "data": {"text": "Edda Lund runs Brack."}}
    completions = [{"id": 1, "result": []}, {"id": 2, "skipped": True, "result": [label("z", 0, 4, "Edda")]}]
    skipped = old | {"id": 2, "completions": [{"was_cancelled": True, "result": result}]}
    sentences, counted = read(tmp_path, old | {"completions": [{"created_at": 1609789589, "result": result}]}, skipped)
    assert said(sentences) == [("Per", "Edda Lund"), ("Org", "Brack")]
    (link,) = sentences[0].relations
    assert (link.head, link.tail, link.type) == (*sentences[0].entities, "runs")
    assert counted == ["1 cancelled annotations, left out", "1 tasks without an annotation that counts, left out"]
    empty, counted = read(tmp_path, old | {"completions": completions})
    assert said(empty) == [] and len(empty) == 1 and counted == ["1 cancelled annotations, left out"]


@pytest.mark.parametrize("name", ["label", "ner", "Wer und was"])
def test_json_min_whatever_its_label_is_called(name: str, tmp_path: Path) -> None:
    marked = {"id": 1, "text": "Edda runs Brack.", "annotator": 1, "annotation_id": 4, "lead_time": 2.5}
    regions = [{"start": 0, "end": 4, "text": "Edda", "labels": ["Per"]}, {"start": 10, "end": 15, "labels": ["Org"]}]
    bare = {"id": 2, "text": "It rained.", "annotator": 1, "annotation_id": 5}
    sentences, counted = read(tmp_path, marked | {name: regions}, bare)
    assert [(s.id, said([s])) for s in sentences] == [("1", [("Per", "Edda"), ("Org", "Brack")]), ("2", [])]
    assert counted == ["2 tasks of JSON-MIN, which has no relations: only their entities are read"]
    page = {"id": 3, "body": "<p>Edda runs <b>Brack</b>.</p>", "annotation_id": 6}
    value = {"globalOffsets": {"start": 10, "end": 15}, "text": "Brack", "hypertextlabels": ["Org"]}
    sentences, _ = read(tmp_path, page | {name: [value]})
    assert said(sentences) == [("Org", "Brack")] and str(sentences[0].text).strip() == "Edda runs Brack."


def two(first: str, second: str, *result: Any) -> Any:
    return {"data": {"title": first, "body": second}, "annotations": [{"result": list(result)}]}


def test_the_text_is_the_string_that_the_regions_quote(tmp_path: Path) -> None:
    quoted = two("A mill", "Edda runs Brack.", label("a", 0, 4, "Edda"), label("b", 10, 15, "Brack"))
    # What quotes nothing is of the field of the tasks before.
    nothing = two("Another mill", "It rained.")
    sentences, _ = read(tmp_path, quoted, nothing)
    assert [s.text for s in sentences] == ["Edda runs Brack.", "It rained."]
    both = two("Edda runs.", "Edda runs.", label("a", 0, 4, "Edda"))
    with pytest.raises(
        InputError, match=r"2 strings that the regions quote: 'title', 'body'; name it with --text-field"
    ):
        read(tmp_path, both)
    with pytest.raises(InputError, match=r"no 'text', and 2 other strings.*--text-field"):
        read(tmp_path, nothing)
    named, _ = read(tmp_path, both, nothing, notes=Notes(field="title"))
    assert [s.text for s in named] == ["Edda runs.", "Another mill"]
    with pytest.raises(InputError, match=r"no string 'head', which was named as its text: 'title', 'body'"):
        read(tmp_path, both, notes=Notes(field="head"))


def test_relations_of_regions_that_are_not_there_leave_the_others(tmp_path: Path) -> None:
    regions = [label("a", 0, 4, "Edda"), label("b", 10, 15, "Brack", "Org")]
    links = [relation("a", "zz", "knows"), relation("zz", "zy", "knows"), relation("a", "b", "runs")]
    task = {"data": {"text": "Edda runs Brack."}, "annotations": [{"result": [None, *regions, *links]}]}
    (found,), counted = read(tmp_path, task)
    assert [r.type for r in found.relations] == ["runs"] and len(found.entities) == 2
    assert counted == ["1 entities that are null, left out", "2 relations of an entity that is not there, left out"]
    with pytest.raises(InputError, match=r"record 0: result\[0\]: entities that are null.* because reading is strict"):
        read(tmp_path, task, notes=Notes(strict=True))


def test_fields_that_are_null(tmp_path: Path) -> None:
    given = {"id": None, "data": {"text": "Edda runs.", "id": None, "document": None}, "predictions": None}
    result = [
        label("a", 0, 4, "Edda") | {"score": None},
        {"type": "relation", "from_id": "a", "to_id": "a", "labels": None},
    ]
    (found,), counted = read(tmp_path, given | {"annotations": [None, {"result": result, "was_cancelled": None}]})
    assert said([found]) == [("Per", "Edda")] and found.id is None
    assert counted == ["1 fields 'labels' that are null, read as empty", "1 relations without a label, left out"]
    two_tasks = (given | {"annotations": None}, given | {"annotations": [{"result": result[:1]}]})
    assert len(read(tmp_path, *two_tasks)[0]) == 1


@pytest.mark.parametrize("key", ["a\nb", "a\r\nb", "zz" * 5000])
def test_whatever_ids_are_what_is_said_is_one_short_line(key: str, tmp_path: Path) -> None:
    """Of a relation that is left out, and of one that is refused."""
    task = {
        "data": {"text": "Edda runs."},
        "annotations": [{"result": [label("a", 0, 4, "Edda"), relation(key, "a", "runs")]}],
    }
    notes = Notes()
    (found,), _ = read(tmp_path, task, notes=notes)
    (line,) = notes.lines()
    with pytest.raises(InputError) as caught:
        read(tmp_path, task, notes=Notes(strict=True))
    assert found.relations == () and said([found]) == [("Per", "Edda")]
    for text in (line, str(caught.value)):
        assert len(text) < 600 and "\n" not in text and "\r" not in text
