"""Files of every format with some records that cannot be read."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tablert_dist.data import formats
from tablert_dist.schema import Entity, Relation, Sentence

WORDS = {
    "spert": "tokens",
    "bilou": "tokens",
    "dygie": "sentences",
    "labelstudio": "data",
    "labelstudio-predictions": "data",
    "jsonl": "text",
    "doccano": "text",
    "prodigy": "text",
    "gliner": "tokenized_text",
}
"""The JSON formats, and the field without which nothing of a record can be read."""


def sentence(number: int) -> Sentence:
    """A sentence that no other number has, of a document of its own."""
    who, firm = Entity(0, 2, "Per"), Entity(3, 4, "Org")
    words = (f"Edda{number}", "Lund", "runs", f"Mills{number}", ".")
    return Sentence(words, (who, firm), (Relation(who, firm, "runs"),), f"d{number:03}", f"d{number:03}")


def write(name: str, folder: Path, count: int, broken: Collection[int] = ()) -> Path:
    """`sentence(0)`, `sentence(1)`, …, a record each, of which those in `broken` cannot be read."""
    ending = {"spacy": ".spacy", "hf": ".parquet", "brat": "", "conll": ".conll", "webanno": ".tsv"}.get(name, ".json")
    path = folder / f"x{ending}"
    formats.write([sentence(n) for n in range(count)], path, name)
    if name in WORDS:
        text = path.read_text(encoding="utf-8")
        array = text.startswith("[")
        records = json.loads(text) if array else [json.loads(line) for line in text.splitlines()]
        for n in broken:
            records[n][WORDS[name]] = 3
        lines = [json.dumps(record) for record in records]
        path.write_text("[" + ",\n".join(lines) + "]" if array else "\n".join(lines), encoding="utf-8")
    elif name in {"conll", "webanno"}:
        _break_rows(path, broken)
    elif name == "brat":
        for n in broken:
            with (path / f"d{n:03}.ann").open("a", encoding="utf-8") as file:
                file.write("T9\tPer 0 999\n")
    else:
        (_break_documents if name == "spacy" else _break_table)(path, broken)
    return path


def _break_rows(path: Path, broken: Collection[int]) -> None:
    """The row of the second word has nothing but the word."""
    rows = path.read_text(encoding="utf-8").split("\n")
    seconds = [n for n, row in enumerate(rows) if "Lund" in row.split("\t")]
    for n in broken:
        rows[seconds[n]] = "Lund"
    path.write_text("\n".join(rows), encoding="utf-8")


def _break_documents(path: Path, broken: Collection[int]) -> None:
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    docs = list(DocBin().from_disk(path).get_docs(Vocab()))
    for n in broken:
        docs[n].user_data["id"] = ["no", "name"]
    DocBin(attrs=["ORTH", "SPACY", "ENT_IOB", "ENT_TYPE", "SENT_START"], store_user_data=True, docs=docs).to_disk(path)


def _break_table(path: Path, broken: Collection[int]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    rows: list[dict[str, Any]] = table.to_pylist()
    for n in broken:
        rows[n]["entities"][0]["end"] = 99
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
