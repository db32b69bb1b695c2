"""Columns of pandas, polars and pyarrow, and Ray Data's batches: what `tablert predict` finds, row by row."""

from __future__ import annotations

from typing import Any

import numpy
import pandas
import polars
import pyarrow
import pytest

from tablert_dist.errors import InputError
from tablert_dist.inference.columns import Extract, found_type, read_column, triples_of
from tablert_dist.inference.load import load
from tablert_dist.inference.predictor import Predictor
from tests.support import GOLDEN

BUNDLE = GOLDEN / "bundle" / "cnn-fp32"
TEXTS = [
    "Ada works at Acme near Oslo .",
    None,
    "   ",
    "👩‍🚀 Ada\tBo works at Acme. Ada works at Acme  near Oslo!",
    "",
    "Ada Bo works at Acme near Oslo near Oslo .",
]
LABELS = ["a", "b", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return load(BUNDLE)


def pandas_columns() -> list[pandas.Series]:
    return [
        pandas.Series(TEXTS, index=LABELS, name="text"),
        pandas.Series(TEXTS, index=LABELS, dtype=object),
        pandas.Series([numpy.nan if text is None else text for text in TEXTS], index=LABELS, dtype=object),
        pandas.Series(TEXTS, index=LABELS, dtype="string[pyarrow]"),
        pandas.Series(TEXTS, index=LABELS, dtype="category"),
    ]


def without_text(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != "text"} | {"error": None}


def expected(predictor: Predictor, size: int) -> list[dict[str, Any] | None]:
    given = [[text for text in TEXTS[at : at + size] if text is not None] for at in range(0, len(TEXTS), size)]
    found = iter([one for texts in given for one in predictor.predict(texts)])
    return [None if text is None else without_text(next(found).to_json()) for text in TEXTS]


@pytest.mark.parametrize("size", [2, 256])
def test_a_columns_rows_are_what_predict_finds(predictor: Predictor, size: int) -> None:
    wanted = expected(predictor, size)
    assert wanted[0] and wanted[0]["relations"]
    for column in pandas_columns():
        found = read_column(predictor, column, size)
        assert list(found.index) == LABELS and pyarrow.array(found).to_pylist() == wanted
    one = read_column(predictor, polars.Series("text", TEXTS), size)
    assert one.to_list() == wanted and one.name == "found"
    for arrow in (pyarrow.array(TEXTS), pyarrow.chunked_array([TEXTS[:1], TEXTS[1:]])):
        assert read_column(predictor, arrow, size).to_pylist() == wanted


def test_the_type_is_the_same_where_nothing_is_found(predictor: Predictor) -> None:
    for texts in ([], [None], [""], TEXTS):
        column = pyarrow.array(texts, pyarrow.string())
        assert read_column(predictor, column).type == found_type()
        assert len(read_column(predictor, pandas.Series(texts, dtype="string"))) == len(texts)
        assert triples_of(read_column(predictor, column)).schema == triples_of(read_column(predictor, column)).schema
    exploded = polars.DataFrame({"text": TEXTS}).with_columns(read_column(predictor, polars.Series(TEXTS)))
    names = exploded.select(polars.col("found").struct.field("entities")).explode("entities").unnest("entities")
    assert names["text"].drop_nulls().to_list()[:2] == ["Ada", "Acme"]


def test_triples_are_a_row_each_beside_their_texts(predictor: Predictor) -> None:
    whole = pandas.concat([predictor.predict(text).to_dataframe() for text in TEXTS if text])
    series = pandas_columns()[0]
    frame = triples_of(read_column(predictor, series))
    assert list(frame.columns) == ["row", *whole.columns] and len(frame) == len(whole) > 2
    assert frame[["head", "relation", "tail"]].values.tolist() == whole[["head", "relation", "tail"]].values.tolist()
    assert [series.iloc[row] for row in frame["row"]] and set(frame.index) <= {"a", "c", "e"}
    assert list(frame.index) == [LABELS[row] for row in frame["row"]]
    for row in frame.itertuples():
        assert TEXTS[row.row][row.head_start : row.head_end] == row.head
    other = triples_of(read_column(predictor, polars.Series(TEXTS)))
    assert isinstance(other, polars.DataFrame) and other["tail"].to_list() == frame["tail"].tolist()
    assert triples_of(read_column(predictor, pyarrow.array([None, ""], pyarrow.string()))).num_rows == 0


def test_a_text_that_cannot_be_read_says_why_in_its_row() -> None:
    strict = load(BUNDLE, on_overflow="error")
    texts = [TEXTS[0], "Ada works at " + "Acme " * 400 + ".", "half \ud800 a character", TEXTS[0]]
    found = read_column(strict, pandas.Series(texts, dtype=object)).tolist()
    assert "limit" in found[1]["error"] and found[1]["entities"] is None
    assert [bool(value["error"]) for value in found] == [False, True, True, False] and found[0] == found[3]
    assert list(triples_of(read_column(strict, pandas.Series(texts, dtype=object)))["row"].unique()) == [0, 3]


@pytest.mark.parametrize(
    ("column", "size", "reason"),
    [
        (pandas.Series(["Ada", 3.5], index=["x", "y"], dtype=object), 4, "row 1 ('y'): expected a text, got float 3.5"),
        (polars.Series([1, 2]), 4, "row 0: expected a text, got int 1"),
        (pyarrow.array([["Ada"]]), 4, "row 0: expected a text, got list ['Ada']"),
        (["Ada"], 4, "expected a column of pandas, polars or pyarrow, got builtins.list"),
        (pandas.DataFrame({"text": ["Ada"]}), 4, "got pandas.DataFrame"),
        (polars.Series(["Ada"]), 0, "batch_size = 0: it must be 1 or more"),
    ],
)
def test_what_is_no_column_of_texts_is_refused(predictor: Predictor, column: Any, size: int, reason: str) -> None:
    with pytest.raises(InputError) as raised:
        read_column(predictor, column, size)
    assert reason in str(raised.value)


def test_batches_of_every_kind_get_a_column(predictor: Predictor) -> None:
    reader = Extract(str(BUNDLE), column="text", into="graph")
    wanted = read_column(reader.predictor, pyarrow.array(TEXTS)).to_pylist()
    table = pyarrow.table({"text": TEXTS, "id": range(len(TEXTS))})
    assert reader(table)["graph"].to_pylist() == wanted and reader(table)["id"] == table["id"]
    assert pyarrow.array(reader(table.to_pandas())["graph"]).to_pylist() == wanted
    arrays = {"text": numpy.array(TEXTS, dtype=object), "id": numpy.arange(len(TEXTS))}
    assert reader(arrays)["graph"].to_pylist() == wanted
    for batch, reason in [
        (table.select(["id"]), "no column 'text'; the dataset has id"),
        (table.append_column("graph", table["id"]), "a column 'graph' is there already"),
    ]:
        with pytest.raises(InputError, match=reason):
            reader(batch)
