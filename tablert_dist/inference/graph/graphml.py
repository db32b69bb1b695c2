"""The graph as GraphML, which Gephi, yEd, Cytoscape and networkx read. Written element by element."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

from tablert_dist.inference.graph.cypher import EVIDENCE
from tablert_dist.inference.graph.mentions import iri
from tablert_dist.inference.graph.store import GraphStore

SPACE = "http://graphml.graphdrawing.org/xmlns"
KEYS = {
    "node": {"label": "string", "type": "string", "mentions": "long", "probability": "double"},
    "edge": {"label": "string", "mentions": "long", "probability": "double", "evidence": "string"},
}
"""Attributes of each element and their types."""


def write_graphml(store: GraphStore, path: Path, base: str, model: str | None) -> None:
    """Directed; two nodes may have several edges, one for each relation type. `evidence`: where each is said, a line
    for each of the first EVIDENCE places."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        xml = XMLGenerator(file, "utf-8", short_empty_elements=True)
        xml.startDocument()
        xml.startElement("graphml", AttributesImpl({"xmlns": SPACE}))
        for of, keys in KEYS.items():
            for name, kind in keys.items():
                xml.startElement(
                    "key", AttributesImpl({"id": f"{of}-{name}", "for": of, "attr.name": name, "attr.type": kind})
                )
                xml.endElement("key")
                file.write("\n")
        xml.startElement("graph", AttributesImpl({"edgedefault": "directed"}))
        for node in store.nodes():
            xml.startElement("node", AttributesImpl({"id": iri(node.key, base)}))
            _data(xml, "node", label=node.name, type=node.type, mentions=node.mentions, probability=node.best)
            xml.endElement("node")
            file.write("\n")
        _edges(xml, file, store, base, model)
        xml.endElement("graph")
        xml.endElement("graphml")
        xml.endDocument()


def _edges(xml: XMLGenerator, file: Any, store: GraphStore, base: str, model: str | None) -> None:
    for edge, places in zip(store.edges(), store.first_evidence(EVIDENCE), strict=True):
        told = [e.place for e in places]
        ends = {"source": iri(edge.head, base), "target": iri(edge.tail, base)}
        xml.startElement("edge", AttributesImpl({"id": str(edge.id), **ends}))
        evidence = "\n".join([*told, *([f"model {model}"] if model else [])])
        _data(xml, "edge", label=edge.type, mentions=edge.mentions, probability=edge.best, evidence=evidence)
        xml.endElement("edge")
        file.write("\n")


def _data(xml: XMLGenerator, of: str, **values: Any) -> None:
    for name, value in values.items():
        if value is not None:
            xml.startElement("data", AttributesImpl({"key": f"{of}-{name}"}))
            xml.characters(_allowed(str(value)))
            xml.endElement("data")


_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _allowed(text: str) -> str:
    """A replacement character for what XML 1.0 cannot hold, not even as a reference."""
    return _NOT_XML.sub("\ufffd", text)
