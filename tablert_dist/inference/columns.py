"""A column of texts in, a column of what was found out: pandas, polars or pyarrow, and batches of Ray Data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from tablert_dist.errors import InputError
from tablert_dist.inference.extraction import Extraction
from tablert_dist.inference.load import load
from tablert_dist.inference.predictor import Predictor

Column = TypeVar("Column")
"""A pandas Series, a polars Series, or a pyarrow Array or ChunkedArray."""
FOUND = "found"
ENTITY = {"start": "int64", "end": "int64", "text": "string", "type": "string", "probability": "float64"}
RELATION = {
    "head": "int64",
    "tail": "int64",
    "type": "string",
    "probability": "float64",
    "triple_probability": "float64",
}
READ = {"words": "int64", "words_read": "int64", "sentences": "int64", "windows": "int64"}
TOLD = {"all_pairs": "bool", "complete": "bool", "error": "string"}


def read_column(predictor: Predictor, column: Column, batch_size: int = 256) -> Column:
    """What is found in each text of a column, as a column of the same library, length and (pandas) index.

    A value is a struct with the fields of `tablert predict` but for the text: `entities` (`start`, `end` in characters, `text`,
    `type`, `probability`), `relations` (`head` and `tail` are positions in `entities`), `words` … `complete`, and `error`: why
    a text could not be read, else null. A missing text gives a missing value. `batch_size` texts are read at once.

    Raises InputError where a value is no text, before any is read, and where pyarrow is missing.

    Example:
        >>> import pandas
        >>> frame = pandas.DataFrame({"text": ["Mira Holt works for Ostrava Looms.", None]})
        >>> frame["found"] = read_column(load("bundle"), frame["text"])
        >>> [(e["text"], e["type"]) for e in frame["found"][0]["entities"]]
        [('Mira Holt', 'Person'), ('Ostrava Looms', 'Organization')]
    """
    if batch_size < 1:
        raise InputError(f"batch_size = {batch_size}: it must be 1 or more")
    arrow = _arrow()
    texts = _texts(column)
    parts = [
        arrow.array(_values(predictor, texts[at : at + batch_size]), found_type())
        for at in range(0, len(texts), batch_size)
    ]
    like: Column = _like(column, arrow.chunked_array(parts, found_type()))
    return like


def triples_of(column: Any) -> Any:
    """A row for each relation in a column of `read_column`: a pandas or polars DataFrame, or a pyarrow Table.

    Columns: row (the text's position in the column; pandas: and its label as the index), then those of
    `Extraction.to_dataframe`: head, head_type, head_start, head_end, relation, tail … triple_probability.

    Example:
        >>> import pandas
        >>> texts = pandas.Series(["Mira Holt works for Ostrava Looms."])
        >>> triples_of(read_column(load("bundle"), texts))[["head", "relation", "tail"]].values.tolist()
        [['Mira Holt', 'works_for', 'Ostrava Looms']]
    """
    arrow = _arrow()
    sides = [
        (f"{side}{field}", kind)
        for side in ("head", "tail")
        for field, kind in (("", "string"), ("_type", "string"), ("_start", "int64"), ("_end", "int64"))
    ]
    ends = [("probability", "float64"), ("triple_probability", "float64")]
    schema = arrow.schema([("row", "int64"), *sides[:4], ("relation", "string"), *sides[4:], *ends])
    table = arrow.Table.from_pylist(list(_triples(_plain(column))), schema)
    library = _library(column)
    if library == "polars":
        return type(column.to_frame())(table)
    if library == "pandas":
        frame = table.to_pandas()
        frame.index = column.index.take(frame["row"])
        return frame
    return table


class Extract:
    """Reads a column of a Ray Data dataset; give it to `map_batches` as a class, so that each actor loads the model once.

    model: as `tablert_dist.load` takes it; every node must see it. column: with the texts. into: the new column, as
    `read_column` makes it. options: other arguments of `load`; a reader has one thread unless `threads` says otherwise.
    Raises InputError where there is no such column, or one of the new name is there already.

    Example:
        >>> import ray
        >>> texts = ray.data.from_items([{"text": "Mira Holt works for Ostrava Looms."}])
        >>> given = {"model": "bundle", "column": "text"}
        >>> found = texts.map_batches(Extract, fn_constructor_kwargs=given, concurrency=1)
        >>> [entity["text"] for entity in found.take(1)[0]["found"]["entities"]]
        ['Mira Holt', 'Ostrava Looms']
    """

    def __init__(self, model: str, column: str = "text", into: str = FOUND, **options: Any) -> None:
        self.predictor = load(model, **{"threads": 1, **options})
        self.column, self.into = column, into

    def __call__(self, batch: Any) -> Any:
        """A batch (pyarrow.Table, pandas.DataFrame, or arrays by name) with the new column."""
        arrow = _arrow()
        if isinstance(batch, dict):
            batch = arrow.table({name: arrow.array(list(values)) for name, values in batch.items()})
        table = isinstance(batch, arrow.Table)
        names = list(batch.column_names if table else batch.columns)
        if self.column not in names:
            raise InputError(f"no column '{self.column}'; the dataset has {', '.join(map(str, names))}")
        if self.into in names:
            raise InputError(f"a column '{self.into}' is there already: name another with into=")
        found = read_column(self.predictor, batch[self.column])
        return batch.append_column(self.into, found) if table else batch.assign(**{self.into: found})


def found_type() -> Any:
    """The pyarrow type of what is found: always the same, also where nothing is."""
    arrow = _arrow()
    lists = {name: arrow.list_(arrow.struct(list(of.items()))) for name, of in _LISTS.items()}
    return arrow.struct([*lists.items(), *READ.items(), *TOLD.items()])


_LISTS = {"entities": ENTITY, "relations": RELATION}


def _values(predictor: Predictor, texts: Sequence[str | None]) -> list[dict[str, Any] | None]:
    found = iter(predictor.attempt([text for text in texts if text is not None]))
    return [None if text is None else _value(next(found)) for text in texts]


def _value(found: Extraction | InputError) -> dict[str, Any]:
    return {"error": str(found)} if isinstance(found, InputError) else found.to_json()


def _texts(column: Any) -> list[str | None]:
    """The column's texts; None where one is missing. Raises InputError for what is no text."""
    values = _plain(column)
    for row, value in enumerate(values):
        if value is not None and not isinstance(value, str):
            where = f" ({column.index[row]!r})" if _library(column) == "pandas" else ""
            raise InputError(f"row {row}{where}: expected a text, got {type(value).__name__} {value!r:.60}")
    return values


def _plain(column: Any) -> list[Any]:
    """The values as Python has them; None for whatever the library calls missing."""
    library = _library(column)
    if library == "pandas":
        return [None if missing else value for value, missing in zip(column, column.isna(), strict=True)]
    return list(column.to_list() if library == "polars" else column.to_pylist())


def _library(column: Any) -> str:
    """Of the column. Raises InputError where it is none of the three."""
    kind = type(column)
    library = kind.__module__.partition(".")[0]
    if (library, kind.__name__) not in {("pandas", "Series"), ("polars", "Series")} and library != "pyarrow":
        raise InputError(f"expected a column of pandas, polars or pyarrow, got {kind.__module__}.{kind.__name__}")
    return library


def _like(column: Any, found: Any) -> Any:
    library = _library(column)
    if library == "polars":
        return type(column)(FOUND, found)
    if library == "pandas":
        import pandas

        return pandas.Series(pandas.arrays.ArrowExtensionArray(found), index=column.index, name=FOUND)
    return found


def _triples(values: Sequence[dict[str, Any] | None]) -> Iterator[dict[str, Any]]:
    for row, value in enumerate(values):
        for relation in (value and value["relations"]) or ():
            sides: dict[str, Any] = {}
            for side in ("head", "tail"):
                entity = value["entities"][relation[side]]  # type: ignore[index]  # it has relations
                sides[side] = entity["text"]
                sides |= {f"{side}_{field}": entity[field] for field in ("type", "start", "end")}
            sure = {field: relation[field] for field in ("probability", "triple_probability")}
            yield {"row": row, "relation": relation["type"], **sides, **sure}


def _arrow() -> Any:
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise InputError("columns need pyarrow: pip install pyarrow") from None
    return pyarrow
