"""What other tools' files say in ways of their own: Label Studio, spaCy, Hugging Face datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tablert_dist.data import formats
from tablert_dist.data.formats import Notes
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Sentence
from tests.support.annotated import FOLDER, people

MIRA, LOOMS = Entity(0, 1, "Per"), Entity(2, 3, "Org")
WORDS = ("Mira", "left", "Looms")


def region(key: str, start: int, end: int, text: str, *labels: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": text, "labels": list(labels)}
    return {"id": key, "type": "labels", "from_name": "label", "to_name": "text", "value": value}


def link(direction: str | None, *labels: str) -> dict[str, Any]:
    found = {"type": "relation", "from_id": "a", "to_id": "b", "labels": list(labels)}
    return found if direction is None else found | {"direction": direction}


def studio(folder: Path, text: str, *result: dict[str, Any], key: str = "text") -> tuple[list[Sentence], list[str]]:
    notes = Notes()
    path = folder / "x.json"
    path.write_text(json.dumps([{"id": 5, "data": {key: text}, "annotations": [{"result": list(result)}]}]))
    assert formats.detect(path) == "labelstudio"
    return formats.read(path, "auto", notes), [note.partition(" (the first")[0] for note in notes.lines()]


def test_directions_labels_and_other_results_of_label_studio(tmp_path: Path) -> None:
    regions = region("a", 0, 4, "Mira", "Per"), region("b", 10, 15, "Looms", "Org")
    for direction, ends in ((None, (MIRA, LOOMS)), ("right", (MIRA, LOOMS)), ("left", (LOOMS, MIRA))):
        (found,), notes = studio(tmp_path, "Mira left Looms", *regions, link(direction, "works"), key="body")
        assert found == Sentence(WORDS, (MIRA, LOOMS), (Relation(*ends, "works"),), "5") and notes == []
    choice = {"type": "choices", "value": {"choices": ["x"]}}
    (found,), notes = studio(tmp_path, "Mira left Looms", *regions, link("bi", "kin", "knows"), link("right"), choice)
    assert found.relations == (Relation(MIRA, LOOMS, "kin"), Relation(MIRA, LOOMS, "knows"))
    assert notes == [
        "1 relations in both directions, read in the one they were drawn in",
        "1 relations without a label, left out",
        "1 results that are neither labels nor relations, left out",
    ]
    both = region("a", 0, 4, "Mira", "Per", "Boss"), regions[1], link("right", "works")
    (found,), notes = studio(tmp_path, "Mira left Looms", *both)
    assert found.entities == (MIRA, LOOMS, Entity(0, 1, "Boss")) and found.relations[0].head == MIRA
    assert notes == ["1 regions with several labels, an entity each; relations are of the first"]


def test_offsets_that_a_browser_counted_are_put_right(tmp_path: Path) -> None:
    text = "👩‍🚀 Mira left\nLooms"
    shift = len("👩‍🚀 ".encode("utf-16-le")) // 2
    assert shift != len("👩‍🚀 ")
    given = region("a", shift, shift + 4, "Mira", "Per"), region("b", shift + 5, shift + 15, "left\\nLooms", "Org")
    (found,), notes = studio(tmp_path, text, *given)
    assert [found.text_of(e) for e in found.entities] == ["Mira", "left Looms"] and found.text == text
    assert notes == ["2 entities whose offsets count UTF-16 units, put right by their own text"]


def test_documents_of_spacy_are_cut_where_they_say(tmp_path: Path) -> None:
    pytest.importorskip("spacy")
    from spacy.tokens import Doc, DocBin, Span
    from spacy.vocab import Vocab

    words = ["\n", "Mira", "left", "Looms", ".", " ", "Ida", "stayed", "."]
    doc = Doc(Vocab(), words=words, spaces=[False, True, True, False, False, False, True, False, False])
    for token in doc:
        token.is_sent_start = token.i in (0, 6)
    doc.ents = [Span(doc, 1, 2, "Per"), Span(doc, 3, 4, "Org"), Span(doc, 6, 7, "Per")]
    doc.spans["sc"] = [Span(doc, 1, 4, "Event"), Span(doc, 4, 7, "Odd")]
    doc.spans["other"] = [Span(doc, 1, 2, "Per")]
    key = ("._.", "rel", None, None)
    doc.user_data[key] = {(3, 1): {"has": 1.0, "no": 0.2}, (6, 3): {"near": 0.9}, (1, 2): {"none": 0.0}}
    doc.user_data["id"] = 7
    bin = DocBin(store_user_data=True)
    bin.add(doc)
    bin.to_disk(tmp_path / "x.spacy")
    notes = Notes()
    first, second = formats.read(tmp_path / "x.spacy", "auto", notes)
    event = Entity(0, 3, "Event")
    entities = (event, Entity(0, 1, "Per"), Entity(2, 3, "Org"))
    assert first == Sentence(("Mira", "left", "Looms", "."), entities, (Relation(entities[2], event, "has"),), "7.0")
    assert (first.text, first.document) == ("Mira left Looms.", "7")
    assert second == Sentence(("Ida", "stayed", "."), (Entity(0, 1, "Per"),), (), "7.1")
    said = [note.partition(" (the first")[0] for note in notes.lines()]
    assert said == [
        "1 span groups other than 'sc', left out",
        "2 relations' ends where several entities start, read as the longest",
        "1 entities that cross the end of a sentence, left out",
        "1 relations across sentences, left out",
    ]


def test_tags_and_columns_of_datasets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    names = datasets.ClassLabel(names=["O", "B-Per", "I-Per", "B-Org"])
    features = datasets.Features({"tokens": datasets.List(datasets.Value("string")), "ner_tags": datasets.List(names)})
    data = datasets.Dataset.from_list([{"tokens": list(WORDS), "ner_tags": [1, 0, 3]}], features=features)
    data.save_to_disk(tmp_path / "tags")
    data.to_parquet(tmp_path / "tags.parquet")
    (tmp_path / "tags.jsonl").write_text(json.dumps({"tokens": WORDS, "ner_tags": ["B-Per", "O", "B-Org"], "id": 3}))
    for name, key in (("tags", None), ("tags.parquet", None), ("tags.jsonl", "3")):
        assert formats.read(tmp_path / name) == [Sentence(WORDS, (MIRA, LOOMS), (), key)]
    columns = {"start": [0, 2], "end": [1, 3], "type": ["Per", "Org"]}
    relations = {"head": [0], "tail": [1], "type": ["works"]}
    row = {"tokens": WORDS, "entities": columns, "relations": relations}
    (tmp_path / "old.jsonl").write_text(json.dumps(row))
    wanted = Sentence(WORDS, (MIRA, LOOMS), (Relation(MIRA, LOOMS, "works"),))
    assert formats.read(tmp_path / "old.jsonl", "hf") == [wanted]


def test_splits_and_hub_ids_of_datasets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from tablert_dist.config import DataConfig
    from tablert_dist.data import load_corpus

    part = datasets.load_from_disk(str(FOLDER / "hf"))
    datasets.DatasetDict({"train": part, "validation": part}).save_to_disk(tmp_path / "all")
    with pytest.raises(InputError, match=r"holds the splits train, validation: name one, .*all/train"):
        formats.read(tmp_path / "all")
    corpus = load_corpus(DataConfig(path=str(tmp_path / "all")))
    assert corpus.splits == {"train": tuple(people()), "dev": tuple(people())}
    with pytest.raises(InputError, match="nobody/nothing: not a data set that can be read"):
        formats.read(Path("nobody/nothing"), "hf")
    with pytest.raises(InputError, match="is no hub id"):
        formats.read(tmp_path / "nothing", "hf")
