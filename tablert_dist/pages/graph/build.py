"""What the page of a graph shows: the nodes that most triples speak of, the edges between them, sentences that say them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from heapq import nlargest

from tablert_dist.inference.graph.rows import Edge, Node, Said
from tablert_dist.inference.graph.store import GraphStore

MOST_NODES = 200
"""More are no picture any more."""
MOST_SAID = 5
"""Sentences of an edge, and of a node without edges."""
AROUND = 160
"""Characters of a text before and after what is marked in it."""

Piece = tuple[str, str]
"""Of a text: the characters, and what they are: "head", "tail" or nothing."""


@dataclass(frozen=True)
class Quote:
    """A part of a document that says an edge or mentions a node."""

    document: str
    pieces: tuple[Piece, ...]
    probability: float | None


@dataclass(frozen=True)
class ShownEdge:
    """An edge by the numbers of its nodes, with what says it."""

    edge: Edge
    head: int
    tail: int
    quotes: tuple[Quote, ...]


@dataclass(frozen=True)
class ShownNode:
    """A node, with the edges that leave it and that reach it. `quotes` where it has neither."""

    node: Node
    leaving: list[ShownEdge] = field(default_factory=list)
    reaching: list[ShownEdge] = field(default_factory=list)
    quotes: tuple[Quote, ...] = ()


@dataclass(frozen=True)
class ShownGraph:
    """Nodes by number, most triples first, and the edges between them; of how many in all, from how many documents."""

    nodes: tuple[ShownNode, ...]
    edges: tuple[ShownEdge, ...]
    all_nodes: int
    all_edges: int
    documents: int


def shown_graph(store: GraphStore, most: int = MOST_NODES) -> ShownGraph:
    """At most `most` nodes: those of most triples, then those of most mentions. Memory grows with the nodes of all."""
    weight: Counter[str] = Counter()
    for edge in store.edges():
        weight[edge.head] += edge.mentions
        weight[edge.tail] += edge.mentions
    found = nlargest(most, store.nodes(), key=lambda n: (weight[n.key], n.mentions, -n.id))
    nodes = [ShownNode(n, quotes=() if weight[n.key] else _quotes(store.mentioned(n.id, MOST_SAID))) for n in found]
    number = {shown.node.key: i for i, shown in enumerate(nodes)}
    edges = []
    for edge in store.edges():
        if edge.head in number and edge.tail in number:
            shown = ShownEdge(edge, number[edge.head], number[edge.tail], _quotes(store.said(edge.id, MOST_SAID)))
            edges.append(shown)
            nodes[shown.head].leaving.append(shown)
            if shown.tail != shown.head:
                nodes[shown.tail].reaching.append(shown)
    documents, all_nodes, all_edges, _ = store.size()
    return ShownGraph(tuple(nodes), tuple(edges), all_nodes, all_edges, documents)


def _quotes(said: list[Said]) -> tuple[Quote, ...]:
    return tuple(Quote(s.document, pieces(s.text, s.spans), s.probability) for s in said)


def pieces(text: str, spans: tuple[tuple[int, int], ...]) -> tuple[Piece, ...]:
    """The text around the spans, cut at them: the first is the head, the second the tail; of two that overlap the
    characters that both have belong to the one that begins first.

    Example:
        >>> pieces("Ada works at Acme.", ((13, 17), (0, 3)))
        (('Ada', 'tail'), (' works at ', ''), ('Acme', 'head'), ('.', ''))
    """
    roles = dict(zip(spans, ("head", "tail"), strict=False))
    first, last = max(0, min(s for s, _ in spans) - AROUND), min(len(text), max(e for _, e in spans) + AROUND)
    found: list[Piece] = [("…", "")] if first else []
    at = first
    for start, end in sorted(roles):
        if end <= at:
            continue
        found += [(text[at : max(at, start)], ""), (text[max(at, start) : end], roles[start, end])]
        at = end
    found += [(text[at:last], ""), ("…" if last < len(text) else "", "")]
    return tuple(piece for piece in found if piece[0])
