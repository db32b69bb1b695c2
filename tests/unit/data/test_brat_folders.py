"""BRAT as people have it: fragments at line breaks, byte order marks, sub-folders, copies of a Mac, n-ary relations."""

from __future__ import annotations

from pathlib import Path

import pytest

from tablert_dist.data import formats
from tablert_dist.data.formats import Notes
from tablert_dist.errors import InputError
from tablert_dist.schema import Sentence

TEXT = "Edda\nLund runs Brack Mills."
GOOD = "T1\tPer 0 9\tEdda Lund\nT2\tOrg 15 26\tBrack Mills\nR1\truns Arg1:T1 Arg2:T2\t\n"


def put(folder: Path, name: str = "a", annotations: str = GOOD, text: str = TEXT, mark: bytes = b"") -> Path:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.with_suffix(".txt").write_bytes(mark + text.encode())
    target.with_suffix(".ann").write_bytes(annotations.encode())
    return folder


def read(path: Path) -> tuple[list[Sentence], list[str]]:
    notes = Notes()
    return formats.read(path, "auto", notes), [f"{number} {what}" for what, number, _ in notes.counts()]


def said(sentences: list[Sentence]) -> list[list[str]]:
    return [[" ".join(s.text_of(e).split()) for e in s.entities] for s in sentences]


def pairs(sentences: list[Sentence]) -> list[tuple[str, str, str]]:
    return [(s.text_of(r.head), r.type, s.text_of(r.tail)) for s in sentences for r in s.relations]


FRAGMENTS = {
    "line break": ("Edda\nLund runs.", "0 4;5 9", "Edda Lund", "Edda Lund"),
    "indented": ("Edda\n   Lund runs.", "0 4;8 12", "Edda Lund", "Edda Lund"),
    "three lines": ("Edda\nvon\nLund runs.", "0 4;5 8;9 13", "Edda von Lund", "Edda von Lund"),
    "carriage return": ("Edda\r\nLund runs.", "0 4;6 10", "Edda Lund", "Edda Lund"),
    "carriage return, counted as one": ("Ida\r\nor\r\nEdda\r\nLund runs.", "7 11;12 16", "Edda Lund", "Edda Lund"),
    "adjoining": ("EddaLund runs.", "0 4;4 8", "EddaLund", "EddaLund"),
}


@pytest.mark.parametrize("case", FRAGMENTS)
def test_fragments_with_white_space_alone_between_them_are_one_entity(case: str, tmp_path: Path) -> None:
    text, offsets, quoted, wanted = FRAGMENTS[case]
    sentences, counted = read(put(tmp_path, annotations=f"T1\tPer {offsets}\t{quoted}\n", text=text))
    assert said(sentences) == [[wanted]] and not any("discontinuous" in line for line in counted)


@pytest.mark.parametrize(
    ("text", "offsets", "quoted"),
    [
        ("Edda or Ida Lund.", "0 4;12 16", "Edda Lund"),
        ("Lund, Edda.", "6 10;0 4", "Edda Lund"),
        ("Edda, Bo", "0 4;6 8", "x"),
    ],
)
def test_other_fragments_are_counted_or_refused(text: str, offsets: str, quoted: str, tmp_path: Path) -> None:
    lines = f"T1\tPer {offsets}\t{quoted}\nT2\tPer 0 4\t{text[:4]}\nR1\tkin Arg1:T1 Arg2:T2\n"
    folder = put(tmp_path, annotations=lines, text=text)
    sentences, counted = read(folder)
    assert said(sentences) == [[text[:4]]] and pairs(sentences) == []
    assert counted == ["1 discontinuous entities, left out", "1 relations of discontinuous entities, left out"]
    with pytest.raises(InputError, match=r"a\.ann: line 1 \(T1\): discontinuous entities.*reading is strict"):
        formats.read(folder)


@pytest.mark.parametrize("counted_in", [0, 1])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_is_no_character_whether_it_was_counted_or_not(
    counted_in: int, mark: bytes, tmp_path: Path
) -> None:
    if counted_in and not mark:
        lines = "T1\tPer 1 10\tEdda Lund\n"  # a mark that somebody took out: put right by its own text
    else:
        lines = f"T1\tPer {counted_in} {9 + counted_in}\tEdda Lund\n"
    lines += f"T2\tOrg {15 + counted_in} {26 + counted_in}\tBrack Mills\n"
    sentences, counted = read(put(tmp_path, annotations=lines, mark=mark))
    assert said(sentences) == [["Edda Lund", "Brack Mills"]] and sentences[0].words[0] == "Edda"
    assert bool(counted) == bool(counted_in)
    assert ("a byte order mark" in "".join(counted)) == bool(counted_in and mark)


def test_carriage_returns_are_counted_or_not_as_the_offsets_say(tmp_path: Path) -> None:
    text = TEXT.replace("\n", "\r\n")
    for shift, name in ((0, "one"), (1, "two")):
        lines = f"T1\tPer 0 {9 + shift}\tEdda Lund\nT2\tOrg {15 + shift} {26 + shift}\tBrack Mills\nR1\truns Arg1:T1 Arg2:T2\n"
        sentences, counted = read(put(tmp_path / name, annotations=lines.replace("\n", "\r\n"), text=text))
        assert said(sentences) == [["Edda Lund", "Brack Mills"]] and len(pairs(sentences)) == 1
        assert len(counted) == 1 - shift


def test_documents_of_sub_folders_keep_their_folder_in_the_id(tmp_path: Path) -> None:
    for name in ("b/x", "a/x", "a/deep/y"):
        put(tmp_path, name)
    sentences, _ = read(tmp_path)
    assert [s.id for s in sentences] == ["a/deep/y", "a/x", "b/x"] and pairs(sentences) == 3 * pairs(sentences[:1])
    put(tmp_path, "z")
    assert [s.document for s in read(tmp_path)[0]] == ["a/deep/y", "a/x", "b/x", "z"]
    # A file among them that cannot be read is left out alone, by its own name.
    put(tmp_path, "a/x", annotations="T1\tPer 0 4 Edda\n")
    notes = Notes()
    assert [s.id for s in formats.read(tmp_path, "auto", notes)] == ["a/deep/y", "b/x", "z"]
    assert notes.left_out == 1 and notes.reasons[0].startswith(f"{tmp_path / 'a' / 'x.ann'}: line 1 (T1): ")


def test_settings_are_those_of_the_nearest_folder(tmp_path: Path) -> None:
    """As BRAT looks for them; a folder above the one that is read has no say."""
    lines, none = "[options]\nSentences\tsplitter:newline\n", "[options]\n"
    top = tmp_path / "top"
    for name in ("a", "north/a", "south/deep/a"):
        put(top, name)
    (tmp_path / "tools.conf").write_text(lines)
    assert [len(s) for s in read(top)[:1]] == [3]
    (top / "tools.conf").write_text(lines)
    assert len(read(top)[0]) == 6
    (top / "north" / "tools.conf").write_text(none)
    assert [s.document for s in read(top)[0]] == ["a", "a", "north/a", "south/deep/a", "south/deep/a"]


@pytest.mark.parametrize("name", ["._a", "__MACOSX/._a", "__MACOSX/deep/b"])
def test_copies_of_a_mac_are_counted_or_refused(name: str, tmp_path: Path) -> None:
    put(tmp_path, "a")
    other = tmp_path / f"{name}.ann"
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes(b"\0\x05\x16\x07\0\x02\0\0Mac OS X")
    other.with_suffix(".txt").write_bytes(b"\0\x05\x16\x07")
    sentences, counted = read(tmp_path)
    assert [s.id for s in sentences] == ["a"] and counted == ["1 ._ files of a Mac, which hold no text, left out"]
    with pytest.raises(InputError, match=r"_ files of a Mac.*refused, because reading is strict"):
        formats.read(tmp_path)


@pytest.mark.parametrize("line", ["R2\tsale A:T1 B:T2 C:T1", "R2\tgone Arg1:T1", "R2\tArg1:T1 Arg2:T2"])
def test_relations_that_do_not_have_two_arguments_are_counted_or_refused(line: str, tmp_path: Path) -> None:
    folder = put(tmp_path, annotations=f"{GOOD}{line}\n")
    sentences, counted = read(folder)
    assert pairs(sentences) == [("Edda Lund", "runs", "Brack Mills")]
    assert counted == ["1 relations that do not have two arguments, left out"]
    with pytest.raises(InputError, match=r"line 4 \(R2\): relations that do not have two arguments.*strict"):
        formats.read(folder)


def test_what_brat_has_beside_entities_and_relations_is_no_fault(tmp_path: Path) -> None:
    """Read strictly too: a file with events is as it should be."""
    lines = (
        "E1\trun:T1 Who:T2\nA1\tNeg E1\nM1\tNeg E1\nN1\tReference T1 W:1\tx\n#1\tAnnotatorNotes T1\tx\n*\tEquiv T1 T2\n"
    )
    folder = put(tmp_path, annotations=f"{GOOD}{lines}R2\tcauses Arg1:E1 Arg2:T2\n")
    notes = Notes(strict=True)
    assert pairs(formats.read(folder, "auto", notes)) == [("Edda Lund", "runs", "Brack Mills")]
    assert len(notes.lines()) == 6 and "1 relations of events, left out" in notes.lines()[-1]
