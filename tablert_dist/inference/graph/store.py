"""The graph while it grows: a SQLite file, so that a million triples need no memory.

Equal keys are one node, equal (head, type, tail) one edge; every mention is kept as evidence.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tablert_dist.inference.graph.mentions import Document, Link, key_of
from tablert_dist.inference.graph.rows import Edge, EdgeEvidence, Node, NodeEvidence, Said
from tablert_dist.storage.atomic import writing

_TABLES = """
CREATE TABLE documents (id INTEGER PRIMARY KEY, name TEXT, text TEXT);
CREATE TABLE nodes (id INTEGER PRIMARY KEY, key TEXT UNIQUE, type TEXT);
CREATE TABLE edges (id INTEGER PRIMARY KEY, head INTEGER, type TEXT, tail INTEGER, UNIQUE (head, type, tail));
CREATE TABLE mentions (node INTEGER, document INTEGER, first INTEGER, last INTEGER, text TEXT, probability REAL);
CREATE TABLE evidence (
    edge INTEGER, document INTEGER, head_first INTEGER, head_last INTEGER, tail_first INTEGER, tail_last INTEGER,
    probability REAL, triple_probability REAL
);
"""
_INDICES = """
CREATE INDEX of_node ON mentions (node);
CREATE INDEX of_edge ON evidence (edge);
"""
# A row for each form that a node is mentioned in, the most frequent one first; of equals the first. CROSS JOIN: in this order.
_NODES = """
SELECT nodes.id, nodes.key, nodes.type, f.text, f.mentions, f.best FROM (
    SELECT node, text, count(*) AS mentions, max(probability) AS best, min(rowid) AS first FROM mentions GROUP BY node, text
) AS f CROSS JOIN nodes ON nodes.id = f.node ORDER BY f.node, f.mentions DESC, f.first
"""
_EDGES = """
SELECT edges.id, h.key, edges.type, t.key, count(*), max(triple_probability)
FROM edges CROSS JOIN evidence ON edge = edges.id CROSS JOIN nodes AS h ON h.id = head CROSS JOIN nodes AS t ON t.id = tail
GROUP BY edges.id ORDER BY edges.id
"""
_NODE_EVIDENCE = """
SELECT nodes.key, documents.name, first, last, mentions.text, probability
FROM mentions CROSS JOIN nodes ON nodes.id = node CROSS JOIN documents ON documents.id = document
ORDER BY node, mentions.rowid
"""
_EDGE_EVIDENCE = """
SELECT edge, h.key, edges.type, t.key, documents.name, head_first, head_last, tail_first, tail_last, probability,
    triple_probability
FROM evidence CROSS JOIN edges ON edges.id = edge CROSS JOIN nodes AS h ON h.id = head CROSS JOIN nodes AS t ON t.id = tail
CROSS JOIN documents ON documents.id = document ORDER BY edge, evidence.rowid
"""
_SAID = """
SELECT name, text, head_first, head_last, tail_first, tail_last, triple_probability FROM evidence
CROSS JOIN documents ON id = document WHERE edge = ? ORDER BY triple_probability DESC, evidence.rowid LIMIT ?
"""
_MENTIONED = """
SELECT name, documents.text, first, last, probability FROM mentions CROSS JOIN documents ON id = document
WHERE node = ? ORDER BY probability DESC, mentions.rowid LIMIT ?
"""


class GraphStore:
    """A graph in a file of its own, which is gone when the block ends.

    `link` gives a mention's key, or leaves it to the rule; of `symmetric` types both directions are one edge. `texts`:
    keep the documents' texts, for `said` and `mentioned`.
    """

    def __init__(self, link: Link = lambda mention: None, symmetric: Collection[str] = (), texts: bool = False) -> None:
        self._link, self._symmetric, self._texts = link, frozenset(symmetric), texts
        self._folder = tempfile.TemporaryDirectory(prefix="tablert-graph-")
        self._file = Path(self._folder.name) / "graph.sqlite"
        self._db = sqlite3.connect(self._file, isolation_level=None)
        # Nothing of it outlives this process: no journal, no waiting for the disk.
        with self._room():
            self._db.executescript(
                "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-65536;" + _TABLES
            )
            self._db.execute("BEGIN")
        self._indexed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self._folder.cleanup()

    def _room(self) -> AbstractContextManager[None]:
        """Raise RunError where the disk gets full inside the block."""
        return writing(self._file, "make room there, or set TMPDIR to a folder with more of it")

    def add(self, document: Document) -> None:
        """Merge a document into the graph. Raises InputError where the linker fails on it; nothing of it is added then.
        Raises RunError where the disk is full."""
        keys = [key_of(mention, self._link) for mention in document.mentions]
        with self._room():
            self._merge(document, keys)

    def _merge(self, document: Document, keys: Sequence[str]) -> None:
        add = self._db.execute
        told = (document.name, document.text if self._texts else None)
        place = add("INSERT INTO documents (name, text) VALUES (?, ?)", told).lastrowid
        nodes = [
            self._id("nodes", "key", (key,), "(key, type) VALUES (?, ?)", (key, mention.type))
            for key, mention in zip(keys, document.mentions, strict=True)
        ]
        self._db.executemany(
            "INSERT INTO mentions VALUES (?, ?, ?, ?, ?, ?)",
            [(n, place, m.start, m.end, m.text, m.probability) for n, m in zip(nodes, document.mentions, strict=True)],
        )
        for triple in document.triples:
            head, tail = triple.head, triple.tail
            if triple.type in self._symmetric and nodes[tail] < nodes[head]:
                head, tail = tail, head
            row = (nodes[head], triple.type, nodes[tail])
            edge = self._id("edges", "head, type, tail", row, "(head, type, tail) VALUES (?, ?, ?)", row)
            first, second = document.mentions[head], document.mentions[tail]
            add(
                "INSERT INTO evidence VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    edge,
                    place,
                    first.start,
                    first.end,
                    second.start,
                    second.end,
                    triple.probability,
                    triple.triple_probability,
                ),
            )

    def _id(self, table: str, columns: str, by: tuple[Any, ...], values: str, row: tuple[Any, ...]) -> int:
        """The row's id, new where it is not there."""
        marks = ", ".join("?" * len(by))
        found = self._db.execute(f"SELECT id FROM {table} WHERE ({columns}) = ({marks})", by).fetchone()
        if found:
            return int(found[0])
        return int(self._db.execute(f"INSERT INTO {table} {values}", row).lastrowid or 0)

    def _rows(self, query: str, given: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        with self._room():
            if not self._indexed:
                self._db.executescript(_INDICES)
                self._indexed = True
            yield from self._db.execute(query, given)

    def nodes(self) -> Iterator[Node]:
        """In the order in which they were first mentioned."""
        for number, rows in groupby(self._rows(_NODES), lambda row: row[0]):
            forms = list(rows)
            _, key, kind, name, _, _ = forms[0]
            said = [best for *_, best in forms if best is not None]
            yield Node(number, key, kind, name, sum(row[4] for row in forms), max(said, default=None))

    def edges(self) -> Iterator[Edge]:
        """In the order in which they were first said."""
        return (Edge(*row) for row in self._rows(_EDGES))

    def node_evidence(self) -> Iterator[NodeEvidence]:
        """In the order of the nodes, then of the documents."""
        return (NodeEvidence(*row) for row in self._rows(_NODE_EVIDENCE))

    def edge_evidence(self) -> Iterator[EdgeEvidence]:
        """In the order of the edges, then of the documents."""
        return (EdgeEvidence(*row) for row in self._rows(_EDGE_EVIDENCE))

    def first_evidence(self, most: int) -> Iterator[list[EdgeEvidence]]:
        """For each of `edges()` the first `most` pieces of its evidence."""
        for _, group in groupby(self.edge_evidence(), lambda e: e.edge):
            yield list(islice(group, most))

    def said(self, edge: int, most: int) -> list[Said]:
        """What says an edge, the most probable first; without `texts` the texts are empty."""
        rows = self._rows(_SAID, (edge, most))
        return [Said(name, text or "", ((a, b), (c, d)), sure) for name, text, a, b, c, d, sure in rows]

    def mentioned(self, node: int, most: int) -> list[Said]:
        """What mentions a node, the most probable first; without `texts` the texts are empty."""
        return [
            Said(name, text or "", ((a, b),), sure) for name, text, a, b, sure in self._rows(_MENTIONED, (node, most))
        ]

    def types(self) -> tuple[list[str], list[str]]:
        """The types of nodes and of edges, sorted."""
        kinds = [
            [row[0] for row in self._rows(f"SELECT DISTINCT type FROM {t} ORDER BY type")] for t in ("nodes", "edges")
        ]
        return kinds[0], kinds[1]

    def size(self) -> tuple[int, int, int, int]:
        """How many documents, nodes, edges, and pieces of evidence of edges."""
        tables = ("documents", "nodes", "edges", "evidence")
        return tuple(next(self._rows(f"SELECT count(*) FROM {t}"))[0] for t in tables)
