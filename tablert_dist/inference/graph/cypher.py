"""The graph as Cypher: the same few statements, with the data in their parameters and never in their text.

Names of types become labels and relationship types of letters, digits and `_` alone (`label`); the name as it is in the model
stands in the property `type`. Every statement is `MERGE`, so a second run changes nothing.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from tablert_dist.inference.graph.mentions import iri
from tablert_dist.inference.graph.store import GraphStore

ROWS_AT_ONCE = 1000
EVIDENCE = 100
"""Places that an edge has as properties, the first ones; the tables and RDF have all."""
Statement = tuple[str, dict[str, Any]]
"""A statement and its parameters."""

INDEX = "CREATE INDEX tablert_entity IF NOT EXISTS FOR (n:Entity) ON (n.id)"
NODES = (
    "UNWIND $rows AS row MERGE (n:Entity {{id: row.id}}) SET n:{label}, n.name = row.name, n.type = row.type, "
    "n.mentions = row.mentions, n.probability = row.probability"
)
EDGES = (
    "UNWIND $rows AS row MATCH (h:Entity {{id: row.head}}) MATCH (t:Entity {{id: row.tail}}) MERGE (h)-[r:{label}]->(t) "
    "SET r.type = row.type, r.mentions = row.mentions, r.probability = row.probability, r.documents = row.documents, "
    "r.evidence = row.evidence, r.model = row.model"
)


def labels(kinds: Iterable[str], taken: Iterable[str] = ("Entity",)) -> dict[str, str]:
    """By type a label that Cypher needs no quotes for; types that would share one, or one of `taken`, get a number.

    Example:
        >>> labels(["works-for", "works for", "Person", "3D"])
        {'works-for': 'works_for', 'works for': 'works_for_2', 'Person': 'Person', '3D': '_3D'}
    """
    found: dict[str, str] = {}
    for kind in kinds:
        plain = re.sub(r"\W", "_", unicodedata.normalize("NFKC", kind), flags=re.ASCII) or "_"
        plain = plain if not plain[0].isdigit() else f"_{plain}"
        used = {*found.values(), *taken}
        number = next(n for n in range(1, len(used) + 2) if (plain if n == 1 else f"{plain}_{n}") not in used)
        found[kind] = plain if number == 1 else f"{plain}_{number}"
    return found


def statements(store: GraphStore, base: str, model: str | None) -> Iterator[Statement]:
    """All of the graph: nodes, then edges, `ROWS_AT_ONCE` of a type at a time."""
    node_types, edge_types = store.types()
    of_nodes = labels(node_types)
    # Apart from the nodes' as well: some databases have one space of names for both.
    of_edges = labels(edge_types, ("Entity", *of_nodes.values()))
    nodes = (
        (
            n.type,
            {"id": iri(n.key, base), "type": n.type, "name": n.name, "mentions": n.mentions, "probability": n.best},
        )
        for n in store.nodes()
    )
    yield from _batched(nodes, NODES, of_nodes)
    yield from _batched(_edges(store, base, model), EDGES, of_edges)


def _edges(store: GraphStore, base: str, model: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    for edge, places in zip(store.edges(), store.first_evidence(EVIDENCE), strict=True):
        yield (
            edge.type,
            {
                "head": iri(edge.head, base),
                "tail": iri(edge.tail, base),
                "type": edge.type,
                "mentions": edge.mentions,
                "probability": edge.best,
                "documents": list(dict.fromkeys(e.document for e in places)),
                "evidence": [e.place for e in places],
                "model": model,
            },
        )


def _batched(rows: Iterable[tuple[str, dict[str, Any]]], text: str, names: dict[str, str]) -> Iterator[Statement]:
    """The rows by type, each batch when it is full."""
    waiting: dict[str, list[dict[str, Any]]] = {}
    for kind, row in rows:
        batch = waiting.setdefault(kind, [])
        batch.append(row)
        if len(batch) == ROWS_AT_ONCE:
            yield text.format(label=names[kind]), {"rows": waiting.pop(kind)}
    for kind, batch in waiting.items():
        yield text.format(label=names[kind]), {"rows": batch}


def write_cypher(store: GraphStore, path: Path, base: str, model: str | None) -> None:
    """JSON lines of `{"statement", "parameters"}`, as Neo4j's HTTP API and every driver take them."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for statement, parameters in chain([(INDEX, {})], statements(store, base, model)):
            file.write(json.dumps({"statement": statement, "parameters": parameters}) + "\n")
