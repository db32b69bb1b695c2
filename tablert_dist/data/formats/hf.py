"""Hugging Face datasets: a folder of `save_to_disk`, parquet, JSON lines or a hub id (extra [datasets])."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tablert_dist.data.formats import tags
from tablert_dist.data.formats.notes import Notes, Written
from tablert_dist.data.formats.records import (
    entities_of,
    named,
    parsed,
    relations_of,
    sentence_id,
    spans_to_json,
)
from tablert_dist.data.formats.source import Record, kind
from tablert_dist.data.formats.words import on_words, words_of
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Schema, Sentence

ROWS = 1000
"""Sentences in one row group of a parquet file."""
SPLITS = ("train", "validation", "dev", "test")
FILES = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}


def iterate(path: Path, notes: Notes) -> Iterator[Sentence]:
    """Sentences of `tokens` with `entities` and `relations`, or with `ner_tags`, row by row.

    A hub id may end in the split's name: `user/name/train`. Raises InputError naming the data set, row and reason.
    """
    rows, names = _rows(path)
    index = -1
    while True:
        index += 1
        try:
            row = next(rows, None)
        except Exception as error:  # a damaged file fails anywhere inside pyarrow or datasets
            raise InputError(f"{path}: record {index}: cannot be read: {_said(error)}") from None
        if row is None:
            break
        where = f"{path}: record {index}{named(row)}"
        yield from parsed(where, lambda r, w, n: [_sentence(r, w, n, names)], row, notes)
    if index == 0:
        raise InputError(f"{path}: the data set holds no row")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:200]


@contextmanager
def _datasets() -> Iterator[Any]:
    """The library, for a while without its progress bars."""
    try:
        import datasets
    except ImportError:
        raise InputError(
            "Hugging Face datasets need the extra [datasets]: pip install 'tablert-dist[datasets]'"
        ) from None
    shown = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield datasets
    finally:
        if not shown:
            datasets.enable_progress_bars()


def _rows(path: Path) -> tuple[Iterator[Record], list[str]]:
    """The rows, and the names of the tags where `ner_tags` are numbers."""
    with _datasets() as datasets:
        try:
            found = _open(datasets, path)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{path}: not a data set that can be read: {_said(error)}") from None
        feature = (found.features or {}).get("ner_tags")
        names = getattr(getattr(feature, "feature", None), "names", None) or []
        return iter(found), list(names)


def _open(datasets: Any, path: Path) -> Any:
    if path.is_dir():
        found = datasets.load_from_disk(str(path))
        if isinstance(found, dict):
            raise InputError(
                f"{path} holds the splits {', '.join(found)}: name one, {path / next(iter(found), 'train')}"
            )
        return found
    if path.is_file():
        if path.suffix not in FILES:
            builder = "parquet" if path.open("rb").read(4) == b"PAR1" else "json"
        else:
            builder = FILES[path.suffix]
        # Streamed: nothing is copied into a cache.
        return datasets.load_dataset(builder, data_files=str(path.resolve()), split="train", streaming=True)
    parts = path.as_posix().split("/")
    if path.is_absolute() or not 1 <= len(parts) <= 3:
        raise InputError(f"{path} does not exist, and is no hub id such as user/name or user/name/train")
    split = parts.pop() if len(parts) == 3 else None
    found = datasets.load_dataset("/".join(parts), split=split, streaming=True)
    if isinstance(found, dict):
        raise InputError(f"{path} holds the splits {', '.join(found)}: name one, {path}/{next(iter(found), 'train')}")
    return found


def _sentence(row: Record, where: str, notes: Notes, names: Sequence[str]) -> Sentence:
    key = "tokens" if "tokens" in row else "words"
    words = words_of(row, where, notes, key)
    listed: Sequence[Entity | None]
    if row.get("entities") is not None:
        listed = entities_of({"entities": _listed(row["entities"])}, where, notes)
    elif row.get("ner_tags") is not None:
        given = row["ner_tags"]
        if not isinstance(given, list) or len(given) != len(row[key]):
            raise InputError(f"'ner_tags' must be a list of {len(row[key])} tags, one for each token")
        listed = tags.spans([_tag(tag, names, n) for n, tag in enumerate(given)], notes, where)
    else:
        raise InputError("has neither 'entities' nor 'ner_tags'")
    given_relations = relations_of({"relations": _listed(row.get("relations") or [])}, len(listed), where, notes)
    entities, relations = on_words(words, listed, given_relations, where, notes)
    name = sentence_id(row, "id") if row.get("id") is not None else sentence_id(row)
    return Sentence(words.words, entities, relations, name, sentence_id(row, "document"))


def _listed(value: Any) -> Any:
    """A list of objects; older versions of the library make one object of lists of it."""
    if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
        lengths = {len(column) for column in value.values()}
        if len(lengths) == 1:
            return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    return value


def _tag(tag: Any, names: Sequence[str], n: int) -> str:
    if isinstance(tag, str):
        return tag
    if isinstance(tag, int) and not isinstance(tag, bool) and 0 <= tag < len(names):
        return names[tag]
    raise InputError(
        f"ner_tags[{n}] is {kind(tag)}: expected a tag, or the number of one of {len(names)} ClassLabel names"
    )


def write(sentences: Iterable[Sentence], path: Path, written: Written, schema: Schema | None) -> None:
    """A parquet file where the name ends in .parquet, else a folder as of `save_to_disk`."""
    with _datasets() as datasets:
        if path.suffix == ".parquet":
            _write_parquet(datasets, sentences, path, written)
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows.parquet"
            _write_parquet(datasets, sentences, file, written)
            if written.sentences:
                datasets.Dataset.from_parquet(str(file), cache_dir=folder).save_to_disk(str(path))


def _write_parquet(datasets: Any, sentences: Iterable[Sentence], path: Path, written: Written) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    string, number = datasets.Value("string"), datasets.Value("int32")
    features = datasets.Features(
        {
            "id": string,
            "document": string,
            "tokens": datasets.List(string),
            "entities": datasets.List({"type": string, "start": number, "end": number}),
            "relations": datasets.List({"type": string, "head": number, "tail": number}),
        }
    )
    arrow = features.arrow_schema
    given = iter(sentences)
    with pq.ParquetWriter(path, arrow) as writer:
        while rows := [_row(sentence, written) for sentence in itertools.islice(given, ROWS)]:
            writer.write_table(pa.Table.from_pylist(rows, arrow))


def _row(sentence: Sentence, written: Written) -> Record:
    written.add(sentence)
    return {
        "id": sentence.id,
        "document": sentence.document,
        "tokens": list(sentence.words),
        **spans_to_json(sentence),
    }
