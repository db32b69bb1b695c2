"""Broken input of every kind: refused with a sentence that names file, record and field, never read wrongly, no traceback."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tablert_dist.cli.data_check import command
from tablert_dist.config import DataConfig
from tablert_dist.data import formats, load_corpus
from tablert_dist.data.validation import examine_path
from tablert_dist.errors import InputError
from tablert_dist.schema import Sentence
from tests.support.tiny import sentences, tiny_records

Record = dict[str, Any]
TAGS: Record = {
    "tokens": ["Ada", "Bo", "works", "at", "Acme"],
    "tags": ["B-Per", "L-Per", "O", "O", "U-Org"],
    "relations": [{"type": "works", "head": 0, "tail": 1}],
}
TYPES = {"entities": {"Per": {}, "Org": {}, "Loc": {}}, "relations": {"works": {}, "near": {"symmetric": True}}}


def entity(**fields: Any) -> Callable[[Record], None]:
    return lambda r: r["entities"][0].update(fields)


def relation(**fields: Any) -> Callable[[Record], None]:
    return lambda r: r["relations"][0].update(fields)


def field(name: str, value: Any) -> Callable[[Record], None]:
    return lambda r: r.update({name: value})


def without(name: str, of: Callable[[Record], Record] = lambda r: r) -> Callable[[Record], None]:
    return lambda r: of(r).pop(name)


# What is done to record 3 of a good file, and what the sentence must name.
RECORDS: dict[str, tuple[Callable[[Record], Any], str]] = {
    "tokens missing": (without("tokens"), "'tokens' is missing"),
    "tokens one string": (field("tokens", "Ada works at Acme ."), "'tokens' must be a list"),
    "tokens empty": (field("tokens", []), "'tokens' must be a list of at least one"),
    "token null": (lambda r: r["tokens"].__setitem__(1, None), r"tokens\[1\] must be a string, found nothing"),
    "token a list": (lambda r: r["tokens"].__setitem__(1, ["at"]), r"tokens\[1\] must be a string, found a list"),
    "token white": (lambda r: r["tokens"].__setitem__(1, "\u00a0"), r"tokens\[1\]: tokens of white space, left out: refused"),
    "entities missing": (without("entities"), "'entities'"),
    "entities null": (field("entities", None), "'entities' must be a list"),
    "entities an object": (field("entities", {}), "'entities' must be a list"),
    "entity a triple": (lambda r: r["entities"].__setitem__(0, [0, 1, "Per"]), r"entities\[0\] must be an object"),
    "start missing": (without("start", lambda r: r["entities"][0]), r"entities\[0\]: 'start' must be an integer"),
    "start text": (entity(start="0"), r"entities\[0\]: 'start' must be an integer, found a string"),
    "start a float": (entity(start=0.5), r"entities\[0\]: 'start' must be an integer, found the number 0.5"),
    "start true": (entity(start=True), r"entities\[0\]: 'start' must be an integer, found true or false"),
    "start negative": (entity(start=-1), r"entity Per \[-1, .* lies outside"),
    "end inclusive": (entity(end=0), r"entity Per \[0, 0\) has no words: 'end' is exclusive"),
    "end before start": (entity(start=3, end=1), r"entity Per \[3, 1\) has no words"),
    "end in characters": (entity(start=10, end=14), r"entity Per \[10, 14\) lies outside the sentence of \d+ words"),
    "end huge": (entity(end=10**30), r"entities\[0\]: 'end' is out of range"),
    "type missing": (without("type", lambda r: r["entities"][0]), r"entities\[0\]: 'type' must be a name, found nothing"),
    "type a number": (entity(type=3), r"entities\[0\]: 'type' must be a name, found the number 3"),
    "type empty": (entity(type=""), r"entities\[0\]: 'type' must be a name"),
    "type unknown": (entity(type="Ship"), "unknown entity type 'Ship'; the schema has Per, Org, Loc"),
    "type in another case": (entity(type="per"), "unknown entity type 'per'"),
    "relations an object": (field("relations", {}), "'relations' must be a list, found an object"),
    "relation text": (lambda r: r["relations"].__setitem__(0, "works"), r"relations\[0\] must be an object, found a string"),
    "head missing": (without("head", lambda r: r["relations"][0]), r"relations\[0\]: 'head' must be an integer"),
    "head beyond": (relation(head=9), r"relations\[0\]: its head is entity 9, but the sentence has \d"),
    "tail negative": (relation(tail=-1), r"relations\[0\]: its tail is entity -1"),
    "tail an object": (relation(tail={"start": 1}), r"relations\[0\]: 'tail' must be an integer, found an object"),
    "relation type missing": (without("type", lambda r: r["relations"][0]), r"relations\[0\]: 'type' must be a name"),
    "relation type unknown": (relation(type="owns"), "unknown relation type 'owns'; the schema has works, near"),
    "overlap": (
        lambda r: r["entities"].append({"type": "Loc", "start": 0, "end": 2}), "'Loc.*overlap|overlap.*data.overlap"
    ),
}  # fmt: skip
TAG_RECORDS: dict[str, tuple[Callable[[Record], Any], str]] = {
    "tags too few": (field("tags", ["O"]), "'tags' must be a list of 5 tags"),
    "tags text": (field("tags", "BLOOU"), "'tags' must be a list of 5 tags"),
    "tag null": (lambda r: r["tags"].__setitem__(2, None), r"tags\[2\] = 'None'"),
    "tag of BIO": (field("tags", ["B-Per", "I-Per", "O", "O", "U-Org"]), r"tags\[\d\].*(not closed|closes it)"),
    "tag without a type": (lambda r: r["tags"].__setitem__(4, "U-"), r"tags\[4\] = 'U-'"),
    "relation beyond the tags": (lambda r: r["relations"][0].update(tail=2), r"relations\[0\]: its tail is entity 2"),
}
FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "blank": (b" \n\t", "the file is empty"),
    "cut off": (json.dumps(tiny_records(4)).encode()[:-40], "not JSON: .* line 1, column"),
    "two arrays": (b'[{"tokens": ["a"], "entities": []}]\n[]', "not JSON: Extra data"),
    "an object": (b'{"data": []}', "record 0 has neither 'entities'.*it has 'data'"),
    "a number": (b"3", "neither JSON, nor columns.*starts with '3'"),
    "empty array": (b"[]", "holds no sentence"),
    "records in records": (b"[[]]", "record 0: expected an object, found a list"),
    "null record": (b'[{"tokens": ["a"], "entities": []}, null]', "record 1: expected an object, found nothing"),
    "latin-1": ('[{"tokens": ["Tromsø"]}]'.encode("latin-1"), "not UTF-8 at byte 19"),
    "utf-16": (json.dumps(tiny_records(1)).encode("utf-16"), "not UTF-8 at byte 0"),
    "nothing annotated": (b'[{"tokens": ["a"]}]', "record 0 has neither"),
    "binary": (bytes(range(256)), "not UTF-8|not JSON"),
    "very deep": (b"[" * 100_000, "too deep|not JSON"),
    "number too long": (b'[{"tokens": ["a"], "entities": [{"start": ' + b"9" * 5000 + b"}]}]", "not JSON"),
}  # fmt: skip
TYPE_FILES: dict[str, tuple[bytes, str]] = {
    "types empty": (b"", "not JSON"),
    "types a list": (b"[]", "'entities' and 'relations'"),
    "types without relations": (b'{"entities": {"Per": {}}}', "'entities' and 'relations'"),
    "types with lists": (b'{"entities": ["Per"], "relations": ["works"]}', "'entities' and 'relations'"),
    "types without an entity type": (b'{"entities": {}, "relations": {}}', "there is no entity type"),
    "types latin-1": ('{"entities": {"Fjøs": {}}}'.encode("latin-1"), "not JSON|not UTF-8"),
    "types very deep": (b'{"entities":' * 60_000, "not JSON|too deep"),
}


def corpus(folder: Path, train: bytes, types: bytes = json.dumps(TYPES).encode()) -> DataConfig:
    folder.mkdir(exist_ok=True)
    (folder / "my_train.json").write_bytes(train)
    (folder / "my_types.json").write_bytes(types)
    return DataConfig(path=str(folder), strict=True)


def refused(config: DataConfig, file: str) -> str:
    """The sentence with which `load_corpus` refuses, having checked that the validation says it, too."""
    with pytest.raises(InputError) as caught:
        load_corpus(config)
    sentence = str(caught.value)
    assert "\n" not in sentence and file in sentence and "Traceback" not in sentence
    report = examine_path(config)
    assert report.findings[0].severity == "error" and any(
        f.check in {"unreadable", "overlap"} for f in report.findings
    ), report.findings
    done = CliRunner().invoke(command, [str(config.path), "--strict", "--json"])
    assert done.exit_code == 1 and json.loads(done.stdout)["tally"]["error"], done.output
    return sentence


@pytest.mark.parametrize("case", [*RECORDS, *TAG_RECORDS])
def test_a_broken_record_is_refused_by_file_record_and_field(case: str, tmp_path: Path) -> None:
    edit, reason = (RECORDS | TAG_RECORDS)[case]
    good = [copy.deepcopy(TAGS) for _ in range(6)] if case in TAG_RECORDS else tiny_records(6)
    edit(good[3])
    sentence = refused(corpus(tmp_path / "d", json.dumps(good).encode()), "my_train.json")
    assert "record 3" in sentence and re.search(reason, sentence), sentence


@pytest.mark.parametrize("case", FILES)
def test_a_broken_file_is_refused(case: str, tmp_path: Path) -> None:
    content, reason = FILES[case]
    assert re.search(reason, refused(corpus(tmp_path / "d", content), "my_train.json"))


@pytest.mark.parametrize("case", TYPE_FILES)
def test_a_broken_types_file_is_refused(case: str, tmp_path: Path) -> None:
    content, reason = TYPE_FILES[case]
    config = corpus(tmp_path / "d", json.dumps(tiny_records(6)).encode(), content)
    with pytest.raises(InputError, match=reason) as caught:
        load_corpus(config)
    assert "\n" not in str(caught.value)
    assert examine_path(config).worst == "error"


def test_a_byte_order_mark_is_read_or_refused_by_name(tmp_path: Path) -> None:
    config = corpus(tmp_path / "d", b"\xef\xbb\xbf" + json.dumps(tiny_records(6)).encode())
    try:
        assert len(load_corpus(config).train) == 6
    except InputError as error:
        assert "my_train.json" in str(error)


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    config = corpus(tmp_path / "d", b"")
    (tmp_path / "d" / "my_train.json").unlink()
    (tmp_path / "d" / "my_train.json").mkdir()
    assert "no file *train.json to train on" in refused(config, "train.json")


# -- fuzzed ------------------------------------------------------------------------------------------------------------

JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 99), st.floats(allow_nan=True), st.text(max_size=4), st.just([]), st.just({}),
    st.just(10**40), st.just("\ud800"),
)  # fmt: skip


def spots(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in the tree that can be replaced."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [(*path, key) for key, _ in inner] + [p for key, value in inner for p in spots(value, (*path, key))]


def replaced(tree: Any, path: tuple[Any, ...], value: Any, drop: bool) -> Any:
    tree = copy.deepcopy(tree)
    at = tree
    for key in path[:-1]:
        at = at[key]
    if drop:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return tree


def as_record(sentence: Sentence) -> Record:
    """Written here, not by the code under test."""
    return {
        "tokens": list(sentence.words),
        "entities": [{"type": e.type, "start": e.start, "end": e.end} for e in sentence.entities],
        "relations": [
            {"type": r.type, "head": sentence.entities.index(r.head), "tail": sentence.entities.index(r.tail)}
            for r in sentence.relations
        ],
    }


def reads_exactly(found: list[Sentence], tree: list[Record]) -> None:
    """What was read is what the file says."""
    assert len(found) == len(tree)
    for sentence, record in zip(found, tree, strict=True):
        assert list(sentence.words) == record["tokens"]
        listed = [(e["start"], e["end"], e["type"]) for e in record["entities"]]
        assert [(e.start, e.end, e.type) for e in sentence.entities] == listed
        for relation_, written in zip(sentence.relations, record.get("relations", []), strict=True):
            ends = [(e.start, e.end, e.type) for e in (relation_.head, relation_.tail)]
            assert (*ends, relation_.type) == (listed[written["head"]], listed[written["tail"]], written["type"])


@settings(max_examples=60)
@given(st.lists(sentences(), min_size=1, max_size=4), st.data())
def test_one_value_changed_is_refused_or_read_as_it_is_written(
    tmp_path_factory: pytest.TempPathFactory, found: list[Sentence], data: st.DataObject
) -> None:
    tree = [as_record(s) for s in found]
    path = data.draw(st.sampled_from(spots(tree)))
    tree = replaced(tree, path, data.draw(JUNK), data.draw(st.booleans()))
    folder = tmp_path_factory.mktemp("fuzz")
    file = folder / "my_train.json"
    file.write_text(json.dumps(tree), encoding="utf-8")
    try:
        read = formats.read(file)
    except InputError as error:
        assert "my_train.json" in str(error) and "\n" not in str(error)
        if len(path) > 1 and tree:
            assert f"record {path[0]}" in str(error), error
    else:
        reads_exactly(list(read), tree)
    report = examine_path(DataConfig(path=str(folder)))
    assert json.dumps(report.to_json(), ensure_ascii=True)


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.binary(max_size=4), st.integers(0, 6))
def test_bytes_changed_anywhere_never_end_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, at: int, put: bytes, cut: int
) -> None:
    whole = json.dumps(tiny_records(5), ensure_ascii=False).encode()
    at %= len(whole)
    folder = tmp_path_factory.mktemp("bytes")
    config = corpus(folder / "d", whole[:at] + put + whole[at + cut :])
    try:
        load_corpus(config)
    except InputError as error:
        assert "my_train.json" in str(error) and "\n" not in str(error)
    examine_path(config)
