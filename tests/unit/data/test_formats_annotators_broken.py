"""Items of doccano, Prodigy and GLiNER that are odd, and records that cannot be read: counted, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tablert_dist.data import formats
from tablert_dist.data.formats import Notes
from tablert_dist.errors import InputError
from tests.support.annotators import GOOD, RUNS, put, span

Edit = Callable[[dict[str, Any]], Any]
UNKNOWN = "relations of an entity that is not there, left out"
NULLS, NULL_RELATIONS = "entities that are null, left out", "relations that are null or have an end that is, left out"
ODD: dict[tuple[str, str], tuple[Edit, str]] = {
    ("doccano", "null entity"): (lambda r: r["entities"].append(None), NULLS),
    ("doccano", "null relation"): (lambda r: r["relations"].append(None), NULL_RELATIONS),
    ("doccano", "null end"): (lambda r: r["relations"].append({"from_id": None, "to_id": 30, "type": "x"}), NULL_RELATIONS),
    ("doccano", "unknown"): (lambda r: r["relations"].append({"from_id": 31, "to_id": 7, "type": "x"}), UNKNOWN),
    ("doccano", "null list"): (lambda r: r.update(relations=None), "fields 'relations' that are null, read as empty"),
    ("prodigy", "null span"): (lambda r: r["spans"].append(None), NULLS),
    ("prodigy", "null relation"): (lambda r: r["relations"].append(None), NULL_RELATIONS),
    ("prodigy", "null end"): (lambda r: r["relations"].append({"head": None, "child": 4, "label": "x"}), NULL_RELATIONS),
    ("prodigy", "no span"): (lambda r: r["relations"].append({"head": 2, "child": 4, "label": "x"}), UNKNOWN),
    ("prodigy", "no token"): (lambda r: r["relations"].append({"head": -1, "child": 99, "label": "x"}), UNKNOWN),
    ("prodigy", "other span"): (
        lambda r: r["relations"].append({"head": 0, "child": 4, "label": "x", "head_span": span(0, 2, "Per")}),
        UNKNOWN,
    ),
    ("gliner", "null entity"): (lambda r: r["ner"].append(None), NULLS),
    ("gliner", "null type"): (lambda r: r["ner"].append([0, 1, None]), NULLS),
    ("gliner", "null relation"): (lambda r: r["relations"].append([None, 0, "x"]), NULL_RELATIONS),
    ("gliner", "unknown"): (lambda r: r["relations"].extend([[0, 2, "x"]]), UNKNOWN),
    ("gliner", "white"): (lambda r: r["tokenized_text"].append(" "), "tokens of white space, left out"),
    ("gliner", "null list"): (lambda r: r.update(relations=None), "fields 'relations' that are null, read as empty"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "case"), ODD)
def test_odd_items_are_left_out_and_counted_or_refused(name: str, case: str, tmp_path: Path) -> None:
    edit, reason = ODD[name, case]
    record = GOOD[name]()
    edit(record)
    path = put(tmp_path / "x.json", record)
    notes = Notes()
    (found,) = formats.read(path, name, notes)
    assert found.words == RUNS.words and found.entities == RUNS.entities
    assert found.relations == (() if case == "null list" else RUNS.relations)
    assert [line.partition(" (the first")[0] for line in notes.lines()] == [f"1 {reason}"]
    with pytest.raises(InputError, match="refused, because reading is strict"):
        formats.read(path, name)


BROKEN: dict[tuple[str, str], tuple[Edit, str]] = {
    ("doccano", "text"): (lambda r: r.update(text=3), "'text' must be a string, found the number 3"),
    ("doccano", "neither"): (lambda r: r.pop("entities"), "neither 'entities' nor 'label' nor 'labels' is there"),
    ("doccano", "outside"): (lambda r: r["entities"][0].update(end_offset=99), "lies outside the text of 27"),
    ("doccano", "id twice"): (lambda r: r["entities"][1].update(id=31), r"entities\[1\] has the id '31' of another"),
    ("doccano", "no end"): (lambda r: r["relations"][0].pop("to_id"), "must have 'from_id' and 'to_id'"),
    ("doccano", "no label"): (lambda r: r["entities"][0].pop("label"), r"entities\[0\]: 'label' must be a name"),
    ("prodigy", "text"): (lambda r: r.pop("text"), "'text' must be a string, found nothing"),
    ("prodigy", "order"): (lambda r: r["tokens"].reverse(), r"tokens\[1\] = \[21, 26\] is empty, out of order"),
    ("prodigy", "words"): (lambda r: r["tokens"][0].update(text="Ida"), r"tokens\[0\]: its 'text' is 'Ida', but"),
    ("prodigy", "outside"): (lambda r: r["spans"].append(span(3, 4, "X") | {"end": 99}), "lies outside the text of 27"),
    ("prodigy", "no label"): (lambda r: r["relations"][0].pop("label"), r"relations\[0\]: 'label' must be a name"),
    ("prodigy", "a span"): (lambda r: r["relations"][0].update(head_span=3), "'head_span' must be an object"),
    ("gliner", "no ner"): (lambda r: r.pop("ner"), "'ner' is missing"),
    ("gliner", "words"): (lambda r: r.update(tokenized_text="Edda"), "'tokenized_text' must be a list of at least one"),
    ("gliner", "backwards"): (lambda r: r["ner"][0].__setitem__(1, -1), r"ner\[0\]: \[0, -1\] is no span of words"),
    ("gliner", "outside"): (lambda r: r["ner"][0].__setitem__(1, 6), "lies outside the sentence of 6 words"),
    ("gliner", "ends by spans"): (lambda r: r["relations"].append({"head": [0, 1]}), r"relations\[1\] must be \[head"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "case"), BROKEN)
def test_a_record_that_cannot_be_read_is_left_out_or_refused(name: str, case: str, tmp_path: Path) -> None:
    edit, reason = BROKEN[name, case]
    record = GOOD[name]()
    edit(record)
    path = put(tmp_path / "x.json", GOOD[name](), record, GOOD[name]())
    with pytest.raises(InputError, match=rf"x\.json: record 1.*{reason}"):
        formats.read(path, name)
    notes = Notes()
    assert formats.read(path, name, notes) == [RUNS, RUNS]
    assert notes.left_out == 1 and notes.lines()[0].startswith("1 record left out: ")
