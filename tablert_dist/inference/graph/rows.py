"""What a graph's store gives: nodes, edges, and what says them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """Everything that has one key. `name`: the form it is mentioned in most often; `best`: its largest probability."""

    id: int
    key: str
    type: str
    name: str
    mentions: int
    best: float | None


@dataclass(frozen=True)
class Edge:
    """A relation between two nodes, by their keys. `best`: the largest probability of a triple that says so."""

    id: int
    head: str
    type: str
    tail: str
    mentions: int
    best: float | None


@dataclass(frozen=True)
class NodeEvidence:
    """Where a node is mentioned: characters `start … end - 1` of a document."""

    node: str
    document: str
    start: int
    end: int
    text: str
    probability: float | None


@dataclass(frozen=True)
class EdgeEvidence:
    """What says an edge: the characters of both ends in a document, and how probable it is."""

    edge: int
    head: str
    type: str
    tail: str
    document: str
    head_start: int
    head_end: int
    tail_start: int
    tail_end: int
    probability: float | None
    triple_probability: float | None

    @property
    def place(self) -> str:
        """As one string: DOCUMENT:HEADSTART-HEADEND:TAILSTART-TAILEND."""
        return f"{self.document}:{self.head_start}-{self.head_end}:{self.tail_start}-{self.tail_end}"


@dataclass(frozen=True)
class Said:
    """A text with the spans (characters, half-open) of an edge's head and tail in it, or of a node."""

    document: str
    text: str
    spans: tuple[tuple[int, int], ...]
    probability: float | None
