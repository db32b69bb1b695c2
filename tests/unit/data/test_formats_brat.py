"""BRAT: what is refused, what is left out and counted, and how sentences are cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from tablert_dist.data import formats
from tablert_dist.data.formats import Notes
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation
from tests.support.annotated import FOLDER, people

TEXT = "Mira Holt left Looms. Ida\nstayed."
GOOD = "T1\tPer 0 9\tMira Holt\nT2\tOrg 15 20\tLooms\nR1\tworks Arg1:T1 Arg2:T2\t\n"


def pair(folder: Path, annotations: str, text: str = TEXT) -> Path:
    (folder / "a.txt").write_bytes(text.encode())
    (folder / "a.ann").write_bytes(annotations.encode())
    return folder


BROKEN = {
    "no tab": ("T1 Per 0 9 Mira Holt", r"line 1 \(.*\): expected an id"),
    "no such line": ("X1\tPer 0 9\tMira Holt", r"line 1 \(X1\): expected an id"),
    "no offsets": ("T1\tPer\tMira Holt", "expected 'TYPE START END'"),
    "one offset": ("T1\tPer 0\tMira Holt", "expected 'TYPE START END'"),
    "negative": ("T1\tPer -1 9\tMira Holt", "expected 'TYPE START END'"),
    "swapped": ("T1\tPer 9 0\tMira Holt", r"\[9, 0\) lies outside"),
    "past the end": ("T1\tPer 0 99", "outside the text of 33 characters"),
    "huge": (f"T1\tPer 0 {'9' * 12}\tx", "out of range"),
    "digits": (f"T1\tPer 0 {'9' * 30}\tx", "expected 'TYPE START END'"),
    "another text": (
        "T1\tPer 0 8\tMina Holt",
        r"line 1 \(T1\): its 'text' is 'Mina Holt', but characters \[0, 8\) are 'Mira Hol'",
    ),
    "id twice": (GOOD + "T2\tOrg 15 20\tLooms", r"line 4 \(T2\): the id is there twice"),
    "no such entity": (GOOD + "R2\tworks Arg1:T1 Arg2:T9", r"line 4 \(R2\): there is no T9"),
    "one argument": (GOOD + "R2\tworks Arg1:T1", r"line 4 \(R2\): relations that do not have two arguments"),
    "three arguments": (GOOD + "R2\tworks Arg1:T1 Arg2:T2 Arg3:T1", r"line 4 \(R2\): relations that do not have two"),
    "no type": (GOOD + "R2\tArg1:T1 Arg2:T2", r"line 4 \(R2\): relations that do not have two arguments"),
    "no arguments": (GOOD + "R2\tworks", "expected 'TYPE Arg1:T1 Arg2:T2'"),
    "a NUL": ("T1\tPer 0 9\tMira\0Holt", "line 1: a NUL"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_annotations_are_refused_with_file_line_and_id(case: str, tmp_path: Path) -> None:
    annotations, reason = BROKEN[case]
    with pytest.raises(InputError, match=reason) as caught:
        formats.read(pair(tmp_path, annotations))
    assert str(caught.value).startswith(f"{tmp_path / 'a.ann'}: ") and "\n" not in str(caught.value)


def test_broken_texts_and_folders_are_refused(tmp_path: Path) -> None:
    for content, reason in ((b"\xff", "not UTF-8 at byte 0"), (b"a\0b", "a NUL at character 1")):
        pair(tmp_path, "")
        (tmp_path / "a.txt").write_bytes(content)
        with pytest.raises(InputError, match=rf"a\.txt: {reason}"):
            formats.read(tmp_path)
    (tmp_path / "a.txt").unlink()
    with pytest.raises(InputError, match=r"a.ann: there is no a.txt beside it"):
        formats.read(tmp_path)
    with pytest.raises(InputError, match=r"BRAT annotations without their \.txt"):
        (tmp_path / "a.ann").write_text(GOOD)
        formats.read(tmp_path / "a.ann")
    (tmp_path / "a.ann").unlink()
    with pytest.raises(InputError, match=r"neither BRAT's .* it has nothing"):
        formats.read(tmp_path)
    pair(tmp_path, "", " \n ")
    with pytest.raises(InputError, match="texts without a word"):
        formats.read(tmp_path)


def test_what_is_neither_entity_nor_relation_is_left_out_and_counted(tmp_path: Path) -> None:
    others = [
        "T3\tPer 0 4;10 14\tMira left",
        "T4\tMove 10 14\tleft",
        "E1\tMove:T4 Who:T1",
        "A1\tNegated E1",
        "N1\tReference T1 Wiki:1\tMira",
        "#1\tAnnotatorNotes T1\tsure",
        "*\tEquiv T1 T2",
        "R2\tworks Arg1:T3 Arg2:T2",
        "R3\tcauses Arg1:E1 Arg2:T2",
        "T5\tPer 22 33\tIda stayed.",
        "T6\tPer 15 25\tLooms. Ida",
        "T7\tPer 6 8\tol",
        "R4\tkin Arg2:T7 Arg1:T5",
        "R5\tworks Boss:T7 Firm:T2",
    ]
    notes = Notes()
    first, second = formats.read(pair(tmp_path, GOOD + "\n".join(others)), "auto", notes)
    mira, looms, holt = Entity(0, 2, "Per"), Entity(3, 4, "Org"), Entity(1, 2, "Per")
    assert first.entities == (mira, looms, Entity(2, 3, "Move"), holt)
    assert first.relations == (Relation(mira, looms, "works"), Relation(holt, looms, "works"))
    assert second.words == ("Ida", "stayed", ".") and second.text == "Ida\nstayed."
    assert second.entities == (Entity(0, 3, "Per"),)
    said = [note.partition(" (the first")[0] for note in notes.lines()]
    assert said == [
        "1 discontinuous entities, left out",
        "1 events, left out",
        "1 attributes, left out",
        "1 normalisations, left out",
        "1 notes of annotators, left out",
        "1 equivalences, left out",
        "1 relations of discontinuous entities, left out",
        "1 relations of events, left out",
        "1 entities that cross the end of a sentence, left out",
        "1 entities that cut a word, widened to whole words",
        "1 relations across sentences, left out",
    ]


def test_sentences_are_lines_where_brats_own_settings_say_so(tmp_path: Path) -> None:
    pair(tmp_path, GOOD)
    assert [s.text for s in formats.read(tmp_path)] == ["Mira Holt left Looms.", "Ida\nstayed."]
    (tmp_path / "tools.conf").write_text("[options]\nTokens\ttokenizer:whitespace\nSentences\tsplitter:newline\n")
    assert [s.text for s in formats.read(tmp_path)] == ["Mira Holt left Looms. Ida", "stayed."]


def test_a_pair_is_named_by_either_file_and_line_ends_count() -> None:
    for name in ("mill.txt", "mill.ann"):
        assert formats.read(FOLDER / "brat" / name) == people()[2:]


def test_carriage_returns_are_characters(tmp_path: Path) -> None:
    folder = pair(tmp_path, "T1\tPer 3 7\tMira\r\nT2\tPer 3 12\tMira\r Ida\r\n", "a\r\nMira\r\nIda")
    (sentence,) = formats.read(folder)
    assert sentence.entities == (Entity(1, 2, "Per"), Entity(1, 3, "Per"))


def test_texts_without_annotations_are_counted(tmp_path: Path) -> None:
    pair(tmp_path, GOOD)
    (tmp_path / "b.txt").write_text("Not annotated.")
    notes = Notes()
    assert len(formats.read(tmp_path, "auto", notes)) == 2
    assert notes.lines() == [f"1 texts without .ann, left out (the first: {tmp_path / 'b.txt'})"]
