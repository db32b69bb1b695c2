"""The graph as RDF: Turtle, and JSON-LD. Written node by node; nothing is held.

Nodes and relations are IRIs below a base (`iri`). A node has `rdf:type`, `rdfs:label`, and a `mention` for each place; each
relation is a triple, and a statement (RDF 1.1's reification) with a piece of evidence for each place that says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import quote

from tablert_dist.inference.graph.mentions import iri
from tablert_dist.inference.graph.rows import EdgeEvidence, NodeEvidence
from tablert_dist.inference.graph.store import GraphStore

AT_ONCE = 1000
Place = TypeVar("Place", NodeEvidence, EdgeEvidence)

BASE = "urn:tablert:"
"""Of IRIs, where none is given."""
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
XSD = "http://www.w3.org/2001/XMLSchema#"


def class_iri(kind: str, base: str) -> str:
    """Of an entity type."""
    return f"{base}class/{quote(kind, safe='')}"


def relation_iri(kind: str, base: str) -> str:
    """Of a relation type."""
    return f"{base}relation/{quote(kind, safe='')}"


def write_turtle(store: GraphStore, path: Path, base: str, model: str | None) -> None:
    """Turtle (RDF 1.1), in UTF-8."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for prefix, full in {"rdf": RDF, "rdfs": RDFS, "xsd": XSD, "t": base}.items():
            file.write(f"@prefix {prefix}: <{full}> .\n")
        for node in store.nodes():
            kind, label = class_iri(node.type, base), _literal(node.name)
            file.write(f"\n<{iri(node.key, base)}> a <{kind}> ; rdfs:label {label} .\n")
        file.write("\n")
        for key, places in groupby(store.node_evidence(), lambda e: e.node):
            for place in places:
                file.write(f"<{iri(key, base)}> t:mention {_bag(_mention(place, model))} .\n")
        file.write("\n")
        for _, group in groupby(store.edge_evidence(), lambda e: e.edge):
            for n, said in enumerate(group):
                if not n:
                    _statement(file, said, base)
                file.write(f" ;\n  t:evidence {_bag(_evidence(said, model))}")
            file.write(" .\n")


def _statement(file: IO[str], one: EdgeEvidence, base: str) -> None:
    """The triple, and the beginning of what is said of it."""
    parts = (iri(one.head, base), relation_iri(one.type, base), iri(one.tail, base))
    head, kind, tail = (f"<{part}>" for part in parts)
    file.write(f"{head} {kind} {tail} .\n<{base}statement/{one.edge}> a rdf:Statement")
    file.write(f" ; rdf:subject {head} ; rdf:predicate {kind} ; rdf:object {tail}")


def _mention(place: NodeEvidence, model: str | None) -> dict[str, Any]:
    return _known({"document": place.document, "start": place.start, "end": place.end, "text": place.text,
                   "probability": place.probability, "model": model})  # fmt: skip


def _evidence(place: EdgeEvidence, model: str | None) -> dict[str, Any]:
    return _known({"document": place.document, "headStart": place.head_start, "headEnd": place.head_end,
                   "tailStart": place.tail_start, "tailEnd": place.tail_end, "probability": place.probability,
                   "tripleProbability": place.triple_probability, "model": model})  # fmt: skip


def _known(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tree.items() if value is not None}


def _bag(values: Mapping[str, Any]) -> str:
    return "[ " + " ; ".join(f"t:{key} {_literal(value)}" for key, value in values.items()) + " ]"


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _literal(value: str | int | float) -> str:
    if isinstance(value, str):
        return '"' + "".join(_escaped(c) for c in value) + '"'
    return str(value) if isinstance(value, int) else f'"{value!r}"^^xsd:double'


def _escaped(character: str) -> str:
    return _ESCAPES.get(character) or (character if character >= " " else f"\\u{ord(character):04X}")


def write_jsonld(store: GraphStore, path: Path, base: str, model: str | None) -> None:
    """JSON-LD 1.1: a context, and a `@graph` with a node, or a statement, on each line."""
    typed = {"probability": "xsd:double", "tripleProbability": "xsd:double"}
    context = {
        "rdf": RDF, "rdfs": RDFS, "xsd": XSD, "@vocab": base, "label": "rdfs:label",
        "subject": {"@id": "rdf:subject", "@type": "@id"},
        "predicate": {"@id": "rdf:predicate", "@type": "@id"},
        "object": {"@id": "rdf:object", "@type": "@id"},
        **{key: {"@id": base + key, "@type": kind} for key, kind in typed.items()},
    }  # fmt: skip
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"@context": ' + json.dumps(context) + ',\n"@graph": [\n')
        for n, item in enumerate(_items(store, base, model)):
            file.write((",\n" if n else "") + json.dumps(item, ensure_ascii=True))
        file.write("\n]}\n")


def _items(store: GraphStore, base: str, model: str | None) -> Iterator[dict[str, Any]]:
    for node in store.nodes():
        yield {"@id": iri(node.key, base), "@type": class_iri(node.type, base), "label": node.name}
    for key, places in groupby(store.node_evidence(), lambda e: e.node):
        for part in _parts(places):
            yield {"@id": iri(key, base), "mention": [_mention(place, model) for place in part]}
    for edge, group in groupby(store.edge_evidence(), lambda e: e.edge):
        for n, said in enumerate(_parts(group)):
            one, name = said[0], f"{base}statement/{edge}"
            if not n:
                head, kind, tail = iri(one.head, base), relation_iri(one.type, base), iri(one.tail, base)
                yield {"@id": head, kind: {"@id": tail}}
                yield {"@id": name, "@type": "rdf:Statement", "subject": head, "predicate": kind, "object": tail}
            yield {"@id": name, "evidence": [_evidence(place, model) for place in said]}


def _parts(places: Iterable[Place]) -> Iterator[list[Place]]:
    """Lists of at most AT_ONCE: what a million texts say is no list in memory."""
    left = iter(places)
    while part := list(islice(left, AT_ONCE)):
        yield part
