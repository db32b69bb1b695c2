"""The unit is the record: one that cannot be read is left out and counted, or refused where reading is strict."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tablert_dist.config import DataConfig
from tablert_dist.data import formats, load_corpus
from tablert_dist.data.formats import ENOUGH, NAMES, Notes, source
from tablert_dist.errors import InputError
from tablert_dist.schema import Sentence
from tests.support.records import sentence, write
from tests.unit.data.test_formats import ready

PLACE = {
    "brat": r"d001\.ann",
    "conll": r"x\.conll: line 11 \(id d001\): line 12",
    "webanno": r"x\.tsv: line 17 \(id d001\): line 19",
}
WHY = {
    "brat": r"\[0, 999\) lies outside the text",
    "conll": "expected a word, other columns and a tag",
    "webanno": "1 columns, but the header says",
    "spacy": r"user_data\['id'\] must be a string or an integer",
    "hf": "lies outside the sentence",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_record_that_cannot_be_read_is_left_out_and_counted(name: str, tmp_path: Path) -> None:
    ready(name)
    path = write(name, tmp_path, 3, broken=[1])
    notes = Notes()
    found = formats.read(path, name, notes)
    assert found == [sentence(0), sentence(2)] and [s.document for s in found] == ["d000", "d002"]
    assert notes.left_out == 1 and len(notes.lines()) == 1
    (line,) = notes.lines()
    where = PLACE.get(name, r"x\.\w+: record 1\b")
    assert re.match(rf"1 record left out: {re.escape(str(tmp_path))}/(x/)?{where}", line), line
    assert re.search(WHY.get(name, "must be|is missing"), line), line
    if name != "labelstudio-predictions":  # which is never told from the other
        assert formats.read(path, "auto", Notes()) == found


@pytest.mark.parametrize("name", NAMES)
def test_strict_reading_refuses_it_in_the_same_words(name: str, tmp_path: Path) -> None:
    ready(name)
    path = write(name, tmp_path, 3, broken=[1, 2])
    notes = Notes()
    formats.read(path, name, notes)
    for strict in (None, Notes(strict=True)):
        with pytest.raises(InputError) as caught:
            formats.read(path, name, strict)
        assert str(caught.value) == notes.reasons[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_in_which_no_record_can_be_read_is_refused_with_the_first_reason(name: str, tmp_path: Path) -> None:
    ready(name)
    notes = Notes()
    formats.read(write(name, tmp_path, 3, broken=[0, 1]), name, notes)
    (tmp_path / "all").mkdir()
    path = write(name, tmp_path / "all", 2, broken=[0, 1])
    with pytest.raises(InputError) as caught:
        formats.read(path, name, Notes())
    first = notes.reasons[0].replace(str(tmp_path), str(tmp_path / "all"))
    assert str(caught.value) == f"{first}; 1 more cannot be read either"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_which_less_is_read_than_left_out_is_refused(name: str, tmp_path: Path) -> None:
    ready(name)
    path = write(name, tmp_path, 2 * ENOUGH + 1, broken=range(ENOUGH + 1))
    with pytest.raises(InputError, match=rf"; {ENOUGH} more cannot be read either, and only {ENOUGH} sentences can$"):
        formats.read(path, name, Notes())


@pytest.mark.parametrize(("bad", "good"), [(ENOUGH, ENOUGH), (ENOUGH - 1, 1)])
def test_as_many_or_few_of_them_are_left_out(bad: int, good: int, tmp_path: Path) -> None:
    notes = Notes()
    found = formats.read(write("spert", tmp_path, bad + good, broken=range(bad)), "spert", notes)
    assert found == [sentence(n) for n in range(bad, bad + good)] and notes.left_out == bad
    assert notes.lines()[0].endswith(f"; and {bad - 3} more") and notes.lines()[0].count("record ") == 3


LINES = {
    "cut in a word": ('{"tokens": ["Ed', "not JSON: "),
    "cut behind a field": ('{"tokens": ["Edda"], ', "not JSON: "),
    "cut before a value": ('{"tokens": ["Edda"], "entities":', "not JSON: "),
    "cut in a list": ('{"tokens": ["Edda"], "entities": [', "not JSON: "),
    "no JSON": ("Traceback (most recent call last): {}", "not JSON: "),
    "a brace alone": ("}", "not JSON: "),
    "a key twice": ('{"tokens": ["a"], "entities": [], "tokens": []}', "an object has the key 'tokens' twice"),
    "a key twice, inside": ('{"tokens": [], "entities": [{"end": 1, "end": 2}]}', "an object has the key 'end' twice"),
    "deep": ('{"tokens": ' + "[" * 50_000 + "]" * 50_000 + "}", "nested too deep"),
    "deep and open": ('{"tokens": ' + "[" * 50_000, "nested too deep|not JSON"),
    "digits": (
        '{"orig_id": ' + "7" * 5000 + ', "tokens": ["a"], "entities": []}',
        "not JSON that can be read: a number of thousands of digits",
    ),
    "a list": ('[{"tokens": ["a"], "entities": []}]', "expected an object, found a list"),
    "a number": ("3", "expected an object, found the number 3"),
    "a string": ('"Edda"', "expected an object, found a string"),
    "nothing": ("null", "expected an object, found nothing"),
}


def json_lines(path: Path, *middle: str) -> Path:
    good = [json.dumps({"tokens": sentence(n).words, "entities": [], "orig_id": n}) for n in range(4)]
    path.write_text("\n".join([good[0], *middle, *good[1:3], *middle, good[3]]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("chunk", [7, 64, source.CHUNK])
@pytest.mark.parametrize("case", LINES)
def test_a_line_that_is_no_record_is_left_out_and_what_follows_is_read(
    case: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, reason = LINES[case]
    path = json_lines(tmp_path / "x.jsonl", line)
    monkeypatch.setattr(source, "CHUNK", chunk)
    notes = Notes()
    found = formats.read(path, "auto", notes)
    assert found == [Sentence(sentence(n).words, id=str(n)) for n in range(4)]
    assert notes.left_out == 2 and len(notes.lines()) == 1
    for index, said in zip((1, 4), notes.reasons, strict=True):
        assert re.match(rf"{re.escape(str(path))}: record {index}: ({reason})", said) and "\n" not in said, said
    with pytest.raises(InputError, match=rf"x\.jsonl: (record 1: )?({reason})"):
        formats.read(path, "spert")


@pytest.mark.parametrize("cut", ['{"tokens": ["Ed', '{"tokens": ["Edda"], "entities": ', '{"tokens": [', '{"'])
def test_a_last_line_that_is_cut_is_left_out(cut: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a download or a disk that ended leaves it."""
    path = json_lines(tmp_path / "x.jsonl")
    with path.open("a", encoding="utf-8") as file:
        file.write(cut)
    for chunk in (7, 1 << 20):
        monkeypatch.setattr(source, "CHUNK", chunk)
        notes = Notes()
        assert len(formats.read(path, "auto", notes)) == 4 and notes.left_out == 1


@pytest.mark.parametrize("chunk", [7, source.CHUNK])
@pytest.mark.parametrize("case", ["a key twice", "digits", "a list", "a number", "nothing"])
def test_an_item_of_an_array_that_is_no_record_is_left_out(
    case: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, reason = LINES[case]
    lines = json_lines(tmp_path / "x.jsonl", line).read_text(encoding="utf-8").splitlines()
    path = tmp_path / "x.json"
    path.write_text("[" + ",\n".join(lines) + "]", encoding="utf-8")
    monkeypatch.setattr(source, "CHUNK", chunk)
    notes = Notes()
    assert [s.id for s in formats.read(path, "auto", notes)] == ["0", "1", "2", "3"]
    assert [re.sub(r".*x\.json: ", "", r)[:8] for r in notes.reasons] == ["record 1", "record 4"]
    assert all(reason in said for said in notes.reasons)


@pytest.mark.parametrize("case", ["cut in a list", "no JSON"])
def test_an_array_is_refused_where_the_next_record_cannot_be_told(case: str, tmp_path: Path) -> None:
    lines = json_lines(tmp_path / "x.jsonl", LINES[case][0]).read_text(encoding="utf-8").splitlines()
    (tmp_path / "x.json").write_text("[" + ",\n".join(lines) + "]", encoding="utf-8")
    with pytest.raises(InputError, match=r"x\.json: not JSON: .* at line \d+, column \d+"):
        formats.read(tmp_path / "x.json", "spert", Notes())


def test_a_row_leaves_out_its_sentence_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    path.write_text("Edda B-Per\nLund\nruns O\n\n# id = 7\nIda B-Per\nor\nI-Per\n\nBrack B-Org\n", encoding="utf-8")
    notes = Notes()
    (found,) = formats.read(path, "auto", notes)
    assert found.words == ("Brack",)
    first, second = notes.reasons
    assert first.startswith(f"{path}: line 1: line 2: expected a word")
    assert second.startswith(f"{path}: line 6 (id 7): line 7: expected a word")


def test_a_corpus_counts_what_it_leaves_out_by_split(tmp_path: Path) -> None:
    for split, count, broken in (("train", 5, [1, 2]), ("dev", 3, [0]), ("test", 2, [])):
        write("spert", tmp_path, count, broken).rename(tmp_path / f"a_{split}.json")
    corpus = load_corpus(DataConfig(path=str(tmp_path)))
    assert corpus.left_out == {"train": 2, "dev": 1, "test": 0}
    assert {split: len(sentences) for split, sentences in corpus.splits.items()} == {"train": 3, "dev": 2, "test": 2}
    (said,) = [note for note in corpus.notes if "left out" in note]
    assert said.startswith("3 records left out: ") and "a_train.json: record 1" in said and "a_dev.json: rec" in said
    with pytest.raises(InputError, match=r"a_dev\.json: record 0|a_train\.json: record 1"):
        load_corpus(DataConfig(path=str(tmp_path), strict=True))
