"""Readers, splits and overlap policies on real data and on every kind of broken record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tablert_dist.config import DataConfig
from tablert_dist.data import formats, load_corpus, overlap
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Sentence, overlapping_pairs
from tests.support.tiny import tiny_records, write_corpus


def counts(sentences: Any) -> tuple[int, int, int]:
    return len(sentences), sum(len(s.entities) for s in sentences), sum(len(s.relations) for s in sentences)


def test_both_forms_of_conll04_are_the_same_sentences(data_root: Path) -> None:
    bilou = load_corpus(DataConfig(path=str(data_root / "conll04")))
    spert = load_corpus(DataConfig(path=str(data_root / "conll04" / "spert")))
    assert {k: counts(v) for k, v in bilou.splits.items()} == {
        "train": (922, 3377, 1283),
        "dev": (231, 893, 343),
        "test": (288, 1079, 422),
    }
    for split, sentences in bilou.splits.items():
        for a, b in zip(sentences, spert.splits[split], strict=True):
            assert (a.words, set(a.entities), set(a.relations)) == (b.words, set(b.entities), set(b.relations))
    assert bilou.schema == spert.schema
    assert bilou.schema.entity_types == ("Loc", "Org", "Peop", "Other"), "the types file's order"
    assert any("conll04_train_dev.json" in note for note in bilou.notes), "what is not read is said"


def test_train_plus_dev_is_read_only_when_asked(data_root: Path) -> None:
    corpus = load_corpus(DataConfig(path=str(data_root / "conll04"), train_on="train+dev"))
    assert set(corpus.splits) == {"train", "test"}
    assert counts(corpus.train) == (1153, 3377 + 893, 1283 + 343)
    joined = load_corpus(DataConfig(path=str(data_root / "conll04" / "spert"), train_on="train+dev"))
    assert sorted(s.words for s in joined.train) == sorted(s.words for s in corpus.train)


def test_ades_overlaps_under_each_policy(data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "ade_train.json").write_bytes((data_root / "ade" / "ade_full.json").read_bytes())
    (tmp_path / "ade_types.json").write_bytes((data_root / "ade" / "ade_types.json").read_bytes())
    found = {
        policy: counts(load_corpus(DataConfig(path=str(tmp_path), overlap=policy)).train)[1:]
        for policy in ("keep-gold", "drop-pair", "keep-longest")
    }
    assert found["keep-gold"] == (10839, 6821)
    assert found["drop-pair"] == (10599, 6582)
    assert found["keep-longest"][0] == 10839 - 120
    with pytest.raises(InputError, match=r"ade_train.json: record \d+ .* overlap.*data.overlap=keep-gold"):
        load_corpus(DataConfig(path=str(tmp_path)))


def test_a_folder_that_says_its_format_alone_has_the_name_of_the_one_above(data_root: Path) -> None:
    names = [load_corpus(DataConfig(path=str(data_root / path), overlap="keep-gold")).name
             for path in ("scierc/spert", "conll04")]  # fmt: skip
    assert names == ["scierc", "conll04"]


def test_scierc_types_and_symmetry(data_root: Path) -> None:
    corpus = load_corpus(DataConfig(path=str(data_root / "scierc" / "spert"), overlap="keep-gold"))
    assert corpus.schema.symmetric == {"Compare", "Conjunction"}
    assert [sum(len(overlapping_pairs(s)) for s in corpus.splits[k]) for k in ("train", "dev", "test")] == [
        61,
        7,
        20,
    ]


def test_policies_by_hand() -> None:
    outer, inner, other = Entity(0, 3, "Org"), Entity(1, 2, "Loc"), Entity(4, 5, "Per")
    relations = (Relation(inner, other, "a"), Relation(outer, other, "b"))
    sentence = Sentence(tuple("abcde"), (inner, outer, other), relations)
    assert overlap.apply(sentence, "keep-gold", "") == sentence
    assert overlap.apply(sentence, "drop-pair", "").entities == (other,)
    assert overlap.apply(sentence, "drop-pair", "").relations == ()
    longest = overlap.apply(sentence, "keep-longest", "")
    assert (longest.entities, longest.relations) == ((outer, other), (relations[1],))
    with pytest.raises(InputError, match=r"f: record 1: entities Org \[0, 3\) 'a b c' and Loc \[1, 2\) 'b' overlap"):
        overlap.apply(sentence, "error", "f: record 1")


def test_without_a_types_file_the_types_are_trains_sorted_and_it_is_said(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "d", {"train": tiny_records(), "dev": tiny_records(3)})
    corpus = load_corpus(DataConfig(path=str(folder)))
    assert corpus.schema.entity_types == ("Loc", "Org", "Per")
    assert any("sorted" in note for note in corpus.notes)
    (folder / "sub").mkdir()
    (folder / "sub" / "b_train.json").write_text("[]")
    (folder / "other.json").write_text("{}")
    again = load_corpus(DataConfig(path=str(folder)))
    assert again.splits == corpus.splits and again.hash == corpus.hash
    assert any("not read: other.json" in note for note in again.notes)
    (folder / "z_train.json").write_text("[]")
    with pytest.raises(InputError, match="two files could be 'train'"):
        load_corpus(DataConfig(path=str(folder)))


GOOD = {
    "tokens": ["Ada", "works", "at", "Acme"],
    "entities": [{"type": "Per", "start": 0, "end": 1}, {"type": "Org", "start": 3, "end": 4}],
    "relations": [{"type": "works", "head": 0, "tail": 1}],
    "orig_id": 7,
}
GOOD_TAGS = {
    "tokens": ["Ada", "Bo", "works", "at", "Acme"],
    "tags": ["B-Per", "L-Per", "O", "O", "U-Org"],
    "relations": [{"type": "works", "head": 0, "tail": 1}],
}


def change(base: dict[str, Any], **fields: Any) -> dict[str, Any]:
    record = json.loads(json.dumps(base))
    for key, value in fields.items():
        if value is None:
            del record[key]
        else:
            record[key] = value
    return record


def entity(**fields: Any) -> dict[str, Any]:
    return change(GOOD, entities=[{"type": "Per", "start": 0, "end": 1, **fields}], relations=[])


BROKEN = {
    "tokens missing": (change(GOOD, tokens=None), "'tokens' is missing"),
    "tokens a string": (change(GOOD, tokens="Ada works"), "'tokens' must be a list"),
    "a token a number": (
        change(GOOD, tokens=["Ada", 3, "at", "Acme"]),
        r"tokens\[1\] must be a string, found the number 3",
    ),
    "no tokens": (change(GOOD, tokens=[], entities=[], relations=[]), "at least one string"),
    "a white token": (change(GOOD, tokens=["Ada", " ", "at", "Acme"]), r"tokens\[1\]: tokens of white space"),
    "past the end": (entity(end=5), r"\[0, 5\) lies outside the sentence of 4 words"),
    "no words": (entity(start=1, end=1), "has no words"),
    "reversed": (entity(start=2, end=1), "has no words"),
    "negative": (entity(start=-1), "lies outside"),
    "start a string": (entity(start="0"), "'start' must be an integer, found a string"),
    "start a float": (entity(start=0.0), "'start' must be an integer"),
    "type missing": (entity(type=""), "'type' must be a name"),
    "entities a mapping": (change(GOOD, entities={}), "'entities' must be a list"),
    "unknown entity": (
        change(GOOD, relations=[{"type": "works", "head": 0, "tail": 2}]),
        "tail is entity 2, but the sentence has 2",
    ),
    "negative entity": (change(GOOD, relations=[{"type": "works", "head": -1, "tail": 1}]), "head is entity -1"),
    "relation a list": (change(GOOD, relations=[[0, 1]]), r"relations\[0\] must be an object"),
    "unclosed B": (
        change(GOOD_TAGS, tags=["B-Per", "O", "O", "O", "U-Org"]),
        r"tags\[1\] = 'O': the entity B-Per .* not closed",
    ),
    "unclosed at the end": (change(GOOD_TAGS, tags=["B-Per", "L-Per", "O", "O", "B-Org"]), "before an L closes it"),
    "I without B": (
        change(GOOD_TAGS, tags=["O", "I-Per", "L-Per", "O", "O"]),
        r"tags\[1\] = 'I-Per': no B-Per before it",
    ),
    "L without B": (change(GOOD_TAGS, tags=["L-Per", "O", "O", "O", "O"]), "no B-Per before it"),
    "type changes inside": (change(GOOD_TAGS, tags=["B-Per", "L-Org", "O", "O", "O"]), "is not closed"),
    "no such tag": (change(GOOD_TAGS, tags=["X-Per", "O", "O", "O", "O"]), "expected O or B-"),
    "too few tags": (change(GOOD_TAGS, tags=["O"]), "a list of 5 tags"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_records_are_refused_with_file_index_and_reason(case: str, tmp_path: Path) -> None:
    record, reason = BROKEN[case]
    good = GOOD_TAGS if "tags" in record else GOOD
    path = tmp_path / "x_train.json"
    path.write_text(json.dumps([good, record]))
    with pytest.raises(InputError, match=reason) as caught:
        formats.read(path)
    assert str(caught.value).startswith(f"{path}: record 1")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"  \n", "the file is empty"),
        (b"[{]", "not JSON: .* line 1, column 3"),
        (b"{}", "expected a JSON array"),
        (b"[]", "holds no sentence"),
        (b"[1]", "record 0: expected an object, found the number 1"),
        (b'[{"tokens": ["a"]}]', "neither 'entities'.* nor 'tags'"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_broken_files_are_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x_train.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        formats.read(path)


TYPES = {"entities": {"Per": {}, "Org": {}}, "relations": {"works": {"symmetric": False}}}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (
            lambda r: change(r, entities=[{"type": "Loc", "start": 0, "end": 1}], relations=[]),
            "unknown entity type 'Loc'",
        ),
        (lambda r: change(r, relations=[{"type": "near", "head": 0, "tail": 1}]), "unknown relation type 'near'"),
    ],
)
def test_unknown_types_are_refused(
    edit: Callable[[dict[str, Any]], dict[str, Any]], reason: str, tmp_path: Path
) -> None:
    folder = write_corpus(tmp_path / "d", {"train": [GOOD, edit(GOOD)]})
    (folder / "tiny_types.json").write_text(json.dumps(TYPES))
    with pytest.raises(InputError, match=rf"tiny_train.json: record 1 \(orig_id 7\): {reason}"):
        load_corpus(DataConfig(path=str(folder)))


def test_missing_folders_are_refused(tmp_path: Path) -> None:
    for path, reason in (
        (None, "--data DIR"),
        (str(tmp_path / "nowhere"), "does not exist"),
        ("package:no_such_package/x", "no installed package"),
        ("package:tablert_dist/nowhere", "has no 'nowhere'"),
        (str(tmp_path), "no file \\*train.json"),
        (__file__, "is a file"),
    ):
        with pytest.raises(InputError, match=reason):
            load_corpus(DataConfig(path=path))
