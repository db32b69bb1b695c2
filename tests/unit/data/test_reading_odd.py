"""What is at fault inside a record that is read: counted and left out, or refused where reading is strict."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tablert_dist.data import formats
from tablert_dist.data.formats import Notes
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Sentence
from tests.support.records import WORDS, sentence, write
from tests.unit.data.test_formats import ready

Edit = Callable[[Any], Any]
UNKNOWN = "relations of an entity that is not there, left out"
NULLS, NULL_RELATIONS = "entities that are null, left out", "relations that are null or have an end that is, left out"
WHITE, EMPTY = "tokens of white space, left out", "entities of white space only, left out"
ORPHANS = "relations of an entity that was left out, left out"
NULL_LIST = "fields 'relations' that are null, read as empty"


def white(key: str) -> Edit:
    """A token of white space before all others, and what is counted in tokens moved; an entity and a relation of it."""

    def edit(record: Any) -> None:
        record[key] = ["\u2003", *record[key]]
        if "tags" in record:
            record["tags"] = ["O", *record["tags"]]
        for entity in record.get("entities", []):
            entity["start"] += 1
            entity["end"] += 1

    return edit


def white_entity(record: Any) -> None:
    white("tokens")(record)
    record["entities"].append({"start": 0, "end": 1, "type": "Per"})
    record["relations"].append({"head": 2, "tail": 0, "type": "runs"})


def link(**fields: Any) -> Edit:
    return lambda r: r["relations"].append({"head": 0, "tail": 1, "type": "runs"} | fields)


def result(item: Any) -> Edit:
    return lambda r: (r.get("annotations") or r["predictions"])[0]["result"].append(item)


TOKENS: dict[str, tuple[Edit, list[str]]] = {
    "unknown head": (link(head=9), [UNKNOWN]),
    "negative tail": (link(tail=-1), [UNKNOWN]),
    "null relation": (lambda r: r["relations"].append(None), [NULL_RELATIONS]),
    "null end": (link(tail=None), [NULL_RELATIONS]),
    "null list": (lambda r: r.update(relations=None), [NULL_LIST]),
    "white": (white("tokens"), [WHITE]),
}
STUDIO: dict[str, tuple[Edit, list[str]]] = {
    "null result": (result(None), [NULLS]),
    "dangling": (result({"type": "relation", "from_id": "x9", "to_id": "x0", "labels": ["runs"]}), [UNKNOWN]),
}
ODD: dict[str, dict[str, tuple[Edit, list[str]]]] = {
    "spert": {
        **TOKENS,
        "null entity": (lambda r: r["entities"].append(None), [NULLS]),
        "relation of null": (
            lambda r: (r["entities"].append(None), link(head=2)(r)),
            [NULLS, ORPHANS],
        ),
        "white entity": (white_entity, [WHITE, EMPTY, ORPHANS]),
    },
    "bilou": TOKENS,
    "dygie": {
        "null entity": (lambda r: r["ner"][0].append(None), [NULLS]),
        "null place": (lambda r: r["ner"][0].append([0, None, "Per"]), [NULLS]),
        "null relation": (lambda r: r["relations"][0].append(None), [NULL_RELATIONS]),
        "null end": (lambda r: r["relations"][0].append([0, 1, None, 3, "runs"]), [NULL_RELATIONS]),
        "no entity": (lambda r: r["relations"][0].append([0, 1, 4, 4, "runs"]), [UNKNOWN]),
        "white": (lambda r: r["sentences"][0].append(" \n"), [WHITE]),
        "no word": (
            lambda r: [r[key].insert(0, []) for key in ("sentences", "ner", "relations")] and r["_ids"].insert(0, None),
            ["sentences without a word, left out"],
        ),
    },
    "labelstudio": {**STUDIO, "null list": (lambda r: r["annotations"].append(None), [])},
    "labelstudio-predictions": STUDIO,
    "jsonl": {
        "null entity": (lambda r: r["entities"].append(None), [NULLS]),
        "relation of null": (lambda r: (r["entities"].append(None), link(tail=2)(r)), [NULLS, UNKNOWN]),
        "unknown": (link(head=2), [UNKNOWN]),
        "null relation": (lambda r: r["relations"].append(None), [NULL_RELATIONS]),
        "null end": (link(head=None), [NULL_RELATIONS]),
        "null list": (lambda r: r.update(relations=None), [NULL_LIST]),
        "white": (
            lambda r: r.update(text=r["text"] + "  ", word_offsets=[[0, 5], [6, 10], [11, 15], [16, 22], [23, 24], [24, 26]]),
            [WHITE],
        ),
    },
}  # fmt: skip
CASES = [(name, case) for name, cases in ODD.items() for case in cases]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_odd_items_of_json(name: str, case: str, tmp_path: Path) -> None:
    edit, reasons = ODD[name][case]
    path = write(name, tmp_path, 2)
    text = path.read_text(encoding="utf-8")
    records = json.loads(text) if text[0] == "[" else [json.loads(line) for line in text.splitlines()]
    edit(records[1])
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    notes = Notes()
    first, second = formats.read(path, name, notes)
    assert first == sentence(0)
    assert second.words == sentence(1).words and second.entities == sentence(1).entities
    assert second.relations == (() if reasons == [NULL_LIST] else sentence(1).relations)
    assert [(what, number) for what, number, _ in notes.counts()] == [(reason, 1) for reason in reasons]
    assert notes.left_out == 0 and all(f"{path}: record 1" in where for *_, where in notes.counts())
    if reasons:
        with pytest.raises(InputError, match=rf"record 1.*: {reasons[0]}: refused, because reading is strict"):
            formats.read(path, name, Notes(strict=True))


def test_a_field_that_is_there_and_null_counts_as_empty_for_each_json_format(tmp_path: Path) -> None:
    """Of relations; without entities or words there is nothing to read."""
    for name in ("spert", "bilou", "jsonl", "doccano", "prodigy", "gliner"):
        path = write(name, tmp_path, 1)
        (record,) = [json.loads(line) for line in path.read_text(encoding="utf-8").strip("[]\n").splitlines()]
        path.write_text(json.dumps(record | {"relations": None}), encoding="utf-8")
        (found,) = formats.read(path, name, Notes())
        assert found.entities == sentence(0).entities and found.relations == (), name
        path.write_text(json.dumps(record | {WORDS[name]: None}), encoding="utf-8")
        with pytest.raises(InputError, match=WORDS[name]):
            formats.read(path, name, Notes())


COLUMNS = (
    "0\tEdda\tB-Per\t['N']\t[0]\n1\tLund\tI-Per\t['runs']\t[3]\n2\truns\tO\t['N']\t[2]\n3\tMills\tB-Org\t['N']\t[3]\n"
)
ROWS = {
    "no head": (COLUMNS.replace("runs\tO\t['N']\t[2]", "runs\tO\t['runs']\t[3]"), UNKNOWN),
    "no tail": (COLUMNS.replace("Mills\tB-Org\t['N']\t[3]", "Mills\tB-Org\t['runs']\t[2]"), UNKNOWN),
    "far tail": (COLUMNS.replace("Mills\tB-Org\t['N']\t[3]", "Mills\tB-Org\t['runs']\t[77]"), UNKNOWN),
    "white": (COLUMNS + "4\t\u2003\tO\t['N']\t[4]\n", WHITE),
}


@pytest.mark.parametrize("case", ROWS)
def test_odd_rows(case: str, tmp_path: Path) -> None:
    text, reason = ROWS[case]
    path = tmp_path / "x.conll"
    path.write_text(text, encoding="utf-8")
    notes = Notes()
    edda, mills = Entity(0, 2, "Per"), Entity(3, 4, "Org")
    wanted = Sentence(("Edda", "Lund", "runs", "Mills"), (edda, mills), (Relation(edda, mills, "runs"),))
    assert formats.read(path, "auto", notes) == [wanted]
    assert [(what, number) for what, number, _ in notes.counts()] == [(reason, 1)]
    with pytest.raises(InputError, match=rf"x\.conll: line 1.*{reason}: refused, because"):
        formats.read(path)


def test_odd_items_of_a_docbin(tmp_path: Path) -> None:
    ready("spacy")
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    path = write("spacy", tmp_path, 1)
    (doc,) = DocBin().from_disk(path).get_docs(Vocab())
    doc.user_data["._.", "rel", None, None][2, 0] = {"runs": 1.0, "no": 0.1}
    DocBin(store_user_data=True, docs=[doc]).to_disk(path)
    notes = Notes()
    assert formats.read(path, "auto", notes) == [sentence(0)]
    assert [(what, number) for what, number, _ in notes.counts()] == [(UNKNOWN, 1)]
    with pytest.raises(InputError, match=r"record 0: doc\._\.rel.*head starts no entity.*refused, because"):
        formats.read(path)


def test_a_document_whose_name_no_file_can_hold_is_left_out(tmp_path: Path) -> None:
    ready("spacy")
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    path = write("spacy", tmp_path, 2)
    docs = list(DocBin().from_disk(path).get_docs(Vocab()))
    docs[1].user_data["document"] = "a\0b"
    DocBin(store_user_data=True, docs=docs).to_disk(path)
    notes = Notes()
    assert formats.read(path, "auto", notes) == [sentence(0)]
    assert notes.reasons == [f"{path}: record 1: user_data['document'] has a NUL character"]


@pytest.mark.parametrize(
    ("column", "item", "reason"),
    [
        ("relations", {"type": "runs", "head": 0, "tail": 7}, UNKNOWN),
        ("relations", {"type": "runs", "head": None, "tail": 1}, NULL_RELATIONS),
        ("relations", None, NULL_RELATIONS),
        ("entities", None, NULLS),
        ("tokens", "\u3000", WHITE),
    ],
)
def test_odd_rows_of_a_data_set(column: str, item: Any, reason: str, tmp_path: Path) -> None:
    ready("hf")
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = write("hf", tmp_path, 2)
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[1][column].append(item)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    notes = Notes()
    assert formats.read(path, "auto", notes) == [sentence(0), sentence(1)]
    assert [(what, number) for what, number, _ in notes.counts()] == [(reason, 1)]
    with pytest.raises(InputError, match=rf"record 1 \(id d001\).*{reason}: refused, because"):
        formats.read(path)


def test_notes_of_a_record_that_is_left_out_are_not_counted(tmp_path: Path) -> None:
    """What is wrong inside it was not left out of anything that is read."""
    path = write("spert", tmp_path, 2)
    records = json.loads(path.read_text(encoding="utf-8"))
    records[1]["entities"].append(None)
    records[1]["relations"] += [None, {"head": 9, "tail": 0, "type": "runs"}, {"head": 0, "tail": 1}]
    path.write_text(json.dumps(records), encoding="utf-8")
    notes = Notes()
    assert formats.read(path, "spert", notes) == [sentence(0)]
    assert notes.left_out == 1 and list(notes.counts()) == []
