"""The graph as tables: nodes, edges, and the evidence of each; CSV or Parquet, a file each in one folder."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tablert_dist.inference.graph.mentions import iri
from tablert_dist.inference.graph.store import GraphStore

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = {
    "nodes": {"id": str, "type": str, "name": str, "mentions": int, "probability": float},
    "edges": {"head": str, "relation": str, "tail": str, "mentions": int, "probability": float},
    "mentions": {"node": str, "document": str, "start": int, "end": int, "text": str, "probability": float, "model": str},
    "evidence": {
        "head": str, "relation": str, "tail": str, "document": str, "head_start": int, "head_end": int,
        "tail_start": int, "tail_end": int, "probability": float, "triple_probability": float, "model": str,
    },
}  # fmt: skip
"""Of each table, with their types; `probability` of nodes and edges is the largest of their evidence."""
ROWS_AT_ONCE = 50_000
Row = Sequence[Any]


def rows_of(store: GraphStore, base: str, model: str | None) -> dict[str, Iterator[Row]]:
    """The rows of each table, in the order of COLUMNS."""
    return {
        "nodes": ((iri(n.key, base), n.type, n.name, n.mentions, n.best) for n in store.nodes()),
        "edges": ((iri(e.head, base), e.type, iri(e.tail, base), e.mentions, e.best) for e in store.edges()),
        "mentions": (
            (iri(e.node, base), e.document, e.start, e.end, e.text, e.probability, model) for e in store.node_evidence()
        ),
        "evidence": (
            (iri(e.head, base), e.type, iri(e.tail, base), e.document, e.head_start, e.head_end, e.tail_start, e.tail_end,
             e.probability, e.triple_probability, model)
            for e in store.edge_evidence()
        ),
    }  # fmt: skip


def write_csv(store: GraphStore, folder: Path, base: str, model: str | None) -> None:
    """CSV as RFC 4180 has it, UTF-8; what is not known is empty."""
    for table, rows in rows_of(store, base, model).items():
        with (folder / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS[table])
            writer.writerows(rows)


def write_parquet(store: GraphStore, folder: Path, base: str, model: str | None) -> None:
    """Parquet, with the types of COLUMNS."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    for table, rows in rows_of(store, base, model).items():
        schema = pa.schema([(name, kinds[kind]) for name, kind in COLUMNS[table].items()])
        with parquet.ParquetWriter(folder / f"{table}.parquet", schema) as writer:
            writer.write_table(schema.empty_table())
            while part := list(islice(rows, ROWS_AT_ONCE)):
                writer.write_table(_arrow(part, schema))


def _arrow(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    columns = zip(*rows, strict=True)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
