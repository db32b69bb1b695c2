"""WebAnno TSV 3 with rows that cannot be read, which leave out their sentence, and with items that are odd."""

from __future__ import annotations

from pathlib import Path

import pytest

from tablert_dist.data import formats
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Sentence
from tests.support.webanno import put, read, rows

BAD: dict[str, tuple[str, str]] = {
    "columns": (rows("1-1 0-4 Edda Per"), "line 7: 5 columns, but the header says 6"),
    "no row": ("1-1\n", "line 7: 1 columns"),
    "a number": (rows("one 0-4 Edda _ _ _"), "expected 'sentence-token', 'begin-end'"),
    "offsets": (rows("1-1 0-x Edda _ _ _"), "expected 'sentence-token', 'begin-end'"),
    "order": (rows("1-1 0-4 Edda _ _ _", "1-2 2-4 da _ _ _"), "the token 1-2 is empty, or begins before"),
    "twice": (rows("1-1 0-4 Edda _ _ _", "1-1 5-9 Lund _ _ _"), "the token 1-1 is there twice"),
    "source": (rows("1-1 0-4 Edda Per kin first"), "expected the row that a relation comes from, as 1-1"),
    "uneven": (rows("1-1 0-4 Edda Per kin|kin 1-1"), "2 relations of Relation from 1 rows"),
    "two types": (
        rows("1-1 0-4 Edda Per[1] _ _", "1-2 5-9 Lund Org[1] _ _"),
        r"the span \[1\] has the types 'Per' and",
    ),
    "parts only": (rows("1-1.1 0-4 Edda _ _ _"), "parts of tokens, but no token"),
    "a type": (rows("1-1 0-4 Edda a\\nb _ _"), "the type of an entity = 'a.*printable"),
    "a NUL": (rows("1-1 0-4 Edda _ _ _").replace("Edda", "Ed\0a"), "NUL|is not their tokens"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_broken_row_leaves_out_its_sentence(case: str, tmp_path: Path) -> None:
    body, reason = BAD[case]
    good = "\n#Text=Ida\n" + rows("2-1 50-53 Ida Per _ _")
    path = put(tmp_path / "x", ("#Text=Ed\0a Lund\n" if case == "a NUL" else "#Text=Edda Lund\n") + body + good)
    with pytest.raises(InputError, match=reason) as caught:
        formats.read(path)
    assert str(caught.value).startswith(f"{path}: line 6: ")
    found, notes = read(path)
    assert found == [Sentence(("Ida",), (Entity(0, 1, "Per"),))] and notes[0].startswith("1 record left out: ")


ODD: dict[str, tuple[str, str]] = {
    "unknown source": (rows("1-1 0-4 Edda Per kin 1-2[7_0]"), "relations of an entity that is not there, left out"),
    "unknown tail": (rows("1-1 0-4 Edda _ kin 1-1"), "relations of an entity that is not there, left out"),
    "white": (rows("1-1 0-4 Edda _ _ _") + "1-2\t4-5\t \t_\t_\t_\t\n", "tokens of white space, left out"),
    "other text": (
        rows("1-1 0-4 Ebba Per _ _"),
        "sentences whose '#Text' is not their tokens, read from the tokens alone",
    ),
    "no word": ("\n#Text=\n" + rows("2-1 6-10 Edda _ _ _"), "sentences without a word, left out"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_items_are_counted_or_refused(case: str, tmp_path: Path) -> None:
    body, reason = ODD[case]
    path = put(
        tmp_path / "x",
        f"#Text=Edda \n{body}" if case != "no word" else f"#Text= \n{body}".replace("#Text=\n", "#Text=Edda\n"),
    )
    found, notes = read(path)
    assert [s.words for s in found] == [("Ebba",) if case == "other text" else ("Edda",)] and notes == [f"1 {reason}"]
    with pytest.raises(InputError, match="refused, because reading is strict"):
        formats.read(path)


def test_what_is_no_webanno_is_refused(tmp_path: Path) -> None:
    for text in ("Edda\tB-Per\n", "", "#FORMAT=WebAnno TSV 2\n"):
        with pytest.raises(InputError, match=r"expected '#FORMAT=WebAnno TSV 3'|holds no sentence"):
            formats.read(put(tmp_path / "x", text, ""), "webanno")
