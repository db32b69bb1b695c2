"""Layouts of other projects that are not read are named, with what they lack; what is read is never taken for one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tablert_dist.data import formats
from tablert_dist.data.formats import Notes
from tablert_dist.data.formats.layouts import layout_of
from tablert_dist.errors import InputError
from tests.support.annotated import FILES, FOLDER

TRIPLE = {"subject": "Edda", "predicate": "runs", "object": "Brack"}
JSON: dict[str, tuple[Any, str]] = {
    "spo_list": ({"text": "Edda runs Brack.", "spo_list": [TRIPLE]}, r"DuIE's layout \('spo_list'\).* no offsets"),
    "triple_list": ({"text": "Edda runs Brack.", "triple_list": [["Edda", "runs", "Brack"]]}, "CasRel's.* no offsets"),
    "relation_list": ({"id": 1, "text": "Edda runs.", "relation_list": [TRIPLE]}, "TPLinker's.* no offsets"),
    "relationMentions": (
        {"sentText": "Edda runs.", "relationMentions": [{"em1Text": "Edda"}]},
        "CopyRE's.* no offsets",
    ),
    "triples": ({"text": "Edda runs.", "triples": [["Edda", "runs", "x"]]}, "list of triples.* no offsets"),
    "DocRED": ({"vertexSet": [[]], "sents": [["Edda"]], "labels": []}, "DocRED's.* across sentences"),
    "OpenNRE": (
        {"token": ["Edda"], "h": {"pos": [0, 1]}, "t": {"pos": [0, 1]}, "relation": "x"},
        "OpenNRE's.* one relation a",
    ),
    "TACRED": (
        {"token": ["Edda"], "subj_start": 0, "obj_start": 0, "relation": "x"},
        "TACRED's.* one relation a record",
    ),
    "a chat": ({"instruction": "Find all.", "input": "Edda", "output": "(Edda)"}, "training a language model"),
}


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("case", JSON)
def test_layouts_of_json_are_named_with_what_to_write_instead(case: str, lines: bool, tmp_path: Path) -> None:
    record, reason = JSON[case]
    path = tmp_path / "train.json"
    path.write_text(json.dumps(record) + "\n" + json.dumps(record) if lines else json.dumps([record, record]))
    for notes in (None, Notes()):
        with pytest.raises(InputError, match=reason) as caught:
            formats.read(path, "auto", notes)
        assert str(caught.value).startswith(f"{path}: this is ") and "\n" not in str(caught.value)
        assert "JSON lines with 'text', 'entities' and 'relations'" in str(caught.value)


TABLES: dict[str, tuple[str, str]] = {
    "CSV": (
        "sentence,head,relation,tail\nEdda runs Brack.,Edda,runs,Brack\n",
        "CSV table with the columns 'sentence', 'head'",
    ),
    "quoted": ('"Text";"Subject";"Object"\n"Edda";"Edda";"x"\n', "CSV table with the columns 'Text', 'Subject'"),
    "TSV": (
        "text\tsubject\tpredicate\tobject\nEdda runs\tEdda\truns\tBrack\n",
        "tab-separated table with the columns 'text'",
    ),
    "offsets": ("sentence,entity_1,entity_2,entity_1_offset\nEdda,Edda,x,0\n", "its rows are relations"),
}


@pytest.mark.parametrize("first", [" # webanno.custom.Letter | kind", " # custom.Letter", "#id=1"])
def test_an_old_webanno_is_named(first: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text(f"{first}\n#text=Edda left .\n1-1\tEdda\tx\n")
    with pytest.raises(InputError, match=r"this is WebAnno TSV 2 or older, .* export it again as WebAnno TSV 3"):
        formats.read(path)


@pytest.mark.parametrize("case", TABLES)
def test_tables_of_triples_are_named(case: str, tmp_path: Path) -> None:
    text, reason = TABLES[case]
    for ending in (".csv", ".txt", ".tsv"):
        path = tmp_path / f"train{ending}"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=reason) as caught:
            formats.read(path, "auto", Notes())
        assert "docs/guides/formats.md" in str(caught.value) and "\n" not in str(caught.value)


def test_no_format_that_is_read_is_taken_for_another_layout() -> None:
    for file in FILES:
        path = FOLDER / file
        if path.suffix in {".json", ".jsonl"}:
            text = path.read_text(encoding="utf-8")
            records = json.loads(text) if text[0] == "[" else [json.loads(line) for line in text.splitlines()]
            assert [layout_of(record) for record in records] == [None] * len(records), file


def test_a_record_with_entities_is_read_whatever_else_it_has(tmp_path: Path) -> None:
    entity = {"start": 0, "end": 4, "type": "Per"}
    record = {"text": "Edda runs Brack.", "entities": [entity], "spo_list": [TRIPLE]}
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(record))
    (found,) = formats.read(path)
    assert [found.text_of(e) for e in found.entities] == ["Edda"]
