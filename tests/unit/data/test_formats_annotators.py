"""What doccano, Prodigy and GLiNER write in ways of their own, and how their files are told from each other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tablert_dist.data import formats
from tablert_dist.data.formats import Notes
from tablert_dist.schema import Entity, Relation, Sentence
from tests.support.annotated import people
from tests.support.annotators import EDDA, GOOD, MILLS, RUNS, TEXT, WORDS, doccano, gliner, prodigy, put, span


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("array", [True, False])
def test_lines_and_arrays_are_read(name: str, array: bool, tmp_path: Path) -> None:
    path = tmp_path / "x"
    given = [GOOD[name](), GOOD[name]()]
    path.write_text(json.dumps(given) if array else "\n".join(map(json.dumps, given)), encoding="utf-8")
    assert formats.detect(path) == name
    assert formats.read(path) == [RUNS, RUNS]


LABELLED = [[0, 9, "Per"], [15, 26, "Org"]]
TOLD: dict[str, tuple[list[dict[str, Any]], str]] = {
    "doccano, sequences": ([{"id": 4, "text": TEXT, "label": LABELLED}], "doccano"),
    "doccano, sequences before 1.5": ([{"id": 4, "text": TEXT, "labels": LABELLED, "meta": {}}], "doccano"),
    "doccano, the text under data": ([{"id": 4, "data": TEXT, "label": LABELLED}], "doccano"),
    "doccano, sequences with classes": ([{"id": 4, "text": TEXT, "entities": LABELLED, "cats": ["news"]}], "doccano"),
    "doccano, relations under data": ([{"data": TEXT, **{k: v for k, v in doccano().items() if k != "text"}}], "doccano"),
    "doccano, nothing marked at first": ([{"text": "It rained.", "entities": [], "relations": []}, doccano()], "doccano"),
    "doccano, nothing marked": ([{"text": TEXT, "entities": [], "relations": [], "Comments": []}], "doccano"),
    "ours, nothing marked at first": (
        [
            {"text": "It rained.", "entities": []},
            {"text": TEXT, "entities": [{"start": 0, "end": 9, "type": "Per"}]},
        ],
        "jsonl",
    ),
    "ours, nothing marked": ([{"text": TEXT, "entities": [], "relations": []}], "jsonl"),
    "a text and a class": ([{"text": TEXT, "label": ["good"]}], "jsonl"),
    "JSON-MIN": ([{"id": 1, "text": TEXT, "label": [{"start": 0, "end": 9, "labels": ["Per"]}]}], "labelstudio"),
    "Prodigy without tokens": ([{"text": TEXT, "spans": [{"start": 0, "end": 9, "label": "Per"}]}], "prodigy"),
    "SpERT with a text": ([{"text": TEXT, "tokens": list(WORDS), "entities": []}], "spert"),
    "tags with a text": ([{"text": TEXT, "tokens": ["Edda"], "tags": ["U-Per"]}], "bilou"),
    "GLiNER with a text": ([{"text": TEXT, **gliner()}], "gliner"),
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD)
def test_each_is_told_from_the_others(case: str, tmp_path: Path) -> None:
    records, name = TOLD[case]
    path = put(tmp_path / "x.json", *records)
    assert formats.detect(path) == name
    if case.startswith("doccano, sequences") or case == "doccano, the text under data":
        assert formats.read(path) == [Sentence(WORDS, (EDDA, MILLS), (), "4")]
    if case == "doccano, relations under data":
        assert formats.read(path) == [RUNS]


def test_texts_of_several_sentences_are_cut_and_texts_with_tokens_are_not(tmp_path: Path) -> None:
    text = "Edda Lund left.  It rained."
    record = {"id": "a", "text": text, "entities": [{"id": 1, "label": "Per", "start_offset": 0, "end_offset": 9}]}
    assert [(s.id, s.document, s.text) for s in formats.read(put(tmp_path / "x", record))] == [
        ("a.0", "a", "Edda Lund left."),
        ("a.1", "a", "It rained."),
    ]
    places = [(0, 4), (5, 9), (10, 15), (15, 17), (17, 19), (20, 27)]
    tokens = [{"text": text[a:b], "start": a, "end": b, "id": n} for n, (a, b) in enumerate(places)]
    example = {"text": text, "tokens": tokens, "spans": [{"start": 0, "end": 9, "label": "Per"}]}
    notes = Notes(strict=True)
    (found,) = formats.read(put(tmp_path / "y", example), "auto", notes)
    assert found == Sentence(("Edda", "Lund", "left.", "It", "rained."), (Entity(0, 2, "Per"),)) and found.text == text
    assert notes.lines() == [], "tokens of white space are spaCy's way, and no fault"
    del example["tokens"]
    assert len(formats.read(put(tmp_path / "z", example))) == 2


def test_answers_of_prodigy(tmp_path: Path) -> None:
    given = [prodigy() | {"answer": answer} for answer in ("reject", "accept", "ignore")]
    given.append({key: value for key, value in prodigy().items() if key != "answer"})
    notes = Notes(strict=True)
    assert formats.read(put(tmp_path / "x", *given), "auto", notes) == [RUNS, RUNS]
    assert [line.partition(" (the first")[0] for line in notes.lines()] == [
        "2 examples that were rejected or ignored, left out"
    ]


def test_ends_of_prodigys_relations(tmp_path: Path) -> None:
    def read(**changes: Any) -> tuple[Relation, ...]:
        record = prodigy()
        record["relations"][0].update(changes)
        (found,) = formats.read(put(tmp_path / "x", record))
        return found.relations

    wanted = RUNS.relations
    assert read(head=99, child=99) == wanted, "spans count, where there are any"
    assert read(head_span=span(0, 1, None)) == wanted
    assert read(head_span=None, child_span=None) == wanted, "by the last token of each"
    assert read(head_span=None, head=0, child_span=None, child=3) == wanted, "by any token"
    record = prodigy()
    record["spans"] = [span(0, 4, "All"), *record["spans"], span(0, 1, "Name")]
    record["relations"] = [
        {"head": 1, "child": 3, "label": "a"},
        {"head": 4, "child": 2, "label": "b"},
        {"head": 0, "child": 0, "label": "c", "head_span": span(0, 1, "Name"), "child_span": span(0, 1, "Per")},
    ]
    (found,) = formats.read(put(tmp_path / "y", record))
    whole, name = Entity(0, 5, "All"), Entity(0, 2, "Name")
    assert found.relations == (Relation(EDDA, whole, "a"), Relation(whole, whole, "b"), Relation(name, EDDA, "c"))


def test_many_spans_on_one_text_cost_no_square(tmp_path: Path) -> None:
    def work(count: int) -> int:
        tokens = [{"text": "a", "start": 2 * n, "end": 2 * n + 1} for n in range(count)]
        spans = [{"start": 0, "end": 2 * count - 1, "label": "T"}] * count
        links = [{"head": n, "child": 0, "label": "r"} for n in range(count)]
        record = {"text": "a " * count, "tokens": tokens, "spans": spans, "relations": links}
        path = put(tmp_path / "x", record)
        seen = 0

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal seen
            seen += 1
            return trace if "prodigy" in frame.f_code.co_filename else None

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            formats.read(path, "prodigy")
        finally:
            sys.settrace(before)
        return seen

    assert work(400) <= 2.5 * work(200)


def test_what_is_written_is_what_the_tools_write(tmp_path: Path) -> None:
    for name in GOOD:
        formats.write([RUNS, *people()], tmp_path / name, name)
    first = json.loads((tmp_path / "doccano").read_text(encoding="utf-8").splitlines()[0])
    assert first["entities"][1] == {"id": 2, "label": "Org", "start_offset": 15, "end_offset": 26}
    assert first["relations"] == [{"id": 1, "from_id": 1, "to_id": 2, "type": "runs"}] and first["Comments"] == []
    lines = (tmp_path / "doccano").read_text(encoding="utf-8").splitlines()
    ids = [entity["id"] for line in lines for entity in json.loads(line)["entities"]]
    assert len(ids) == len(set(ids)), "ids of the whole file"
    example = json.loads((tmp_path / "prodigy").read_text(encoding="utf-8").splitlines()[0])
    assert example["answer"] == "accept" and example["tokens"][1] == {
        "text": "Lund",
        "start": 5,
        "end": 9,
        "id": 1,
        "ws": True,
    }
    assert [example["relations"][0][role] for role in ("head", "child")] == [1, 4], "the last token of each"
    assert json.loads((tmp_path / "gliner").read_text(encoding="utf-8"))[0] == gliner() | {"id": "4"}
