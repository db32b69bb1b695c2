"""The graph as one HTML page that loads nothing: a picture, a list to search, types to hide, the sentences behind a click."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from tablert_dist.inference.graph.store import GraphStore
from tablert_dist.pages.drawing import palette
from tablert_dist.pages.drawing.html import asset, digest, environment, styles
from tablert_dist.pages.graph.build import ShownEdge, ShownGraph, shown_graph
from tablert_dist.pages.graph.layout import places

WIDTH, HEIGHT, MARGIN = 1000.0, 760.0, 60.0
"""Of the picture, in the units of its view box."""
LETTER, LINE, LONGEST = 6.4, 13.0, 28
"""Of a name in the picture: width and height of a letter, and how many are drawn."""
BEND = 0.1
"""How far an edge leaves the straight line, in its lengths; the second one between two nodes twice as far."""

KINDS = {"entity": "entities", "relation": "relations"}

TEMPLATES = environment(__package__)


@dataclass(frozen=True)
class Disc:
    """A drawn node: centre and radius, and its name, which may find no room."""

    x: float
    y: float
    radius: float
    name: str = ""


def write_html(store: GraphStore, path: Path, base: str, model: str | None) -> None:
    """Write the page; what it shows is bounded, and it says of how many nodes."""
    path.write_text(to_html(shown_graph(store), model), encoding="utf-8")


def to_html(graph: ShownGraph, model: str | None = None) -> str:
    """The page as text: the same bytes for the same graph."""
    kinds = [sorted({n.node.type for n in graph.nodes}), sorted({e.edge.type for e in graph.edges})]
    colours = palette.assign(*kinds)
    script = asset(__package__, "search.js")
    discs = _discs(graph)
    return TEMPLATES.get_template("page.html.jinja").render(
        graph=graph,
        model=model,
        kinds=list(zip(KINDS, KINDS.values(), kinds, strict=True)),
        number={(kind, name): i for kind, names in zip(KINDS, kinds, strict=True) for i, name in enumerate(names)},
        colour=lambda kind, name: palette.classes(colours[kind, name]),
        counted={
            "entity": Counter(n.node.type for n in graph.nodes),
            "relation": Counter(e.edge.type for e in graph.edges),
        },
        discs=discs,
        paths=_paths(graph, discs),
        place={shown.edge.id: i for i, shown in enumerate(graph.edges)},
        size=(WIDTH, HEIGHT),
        css=styles(__package__),
        script=Markup(script),
        digest=digest(script),
    )  # fmt: skip


def _discs(graph: ShownGraph) -> list[Disc]:
    at = places(len(graph.nodes), [(e.head, e.tail) for e in graph.edges])
    most = max((n.node.mentions for n in graph.nodes), default=1)
    discs = [
        Disc(
            round(MARGIN + (WIDTH - 2 * MARGIN) * float(x), 1),
            round(MARGIN + (HEIGHT - 2 * MARGIN) * float(y), 1),
            round(3.5 + 9 * math.sqrt(shown.node.mentions / most), 1),
        )
        for (x, y), shown in zip(at, graph.nodes, strict=True)
    ]
    return _named(discs, [n.node.name for n in graph.nodes])


def _named(discs: list[Disc], names: list[str]) -> list[Disc]:
    """With the names that lie on no other name and no other disc, the first nodes' first.

    The others say theirs under the pointer and in the list.
    """
    taken: list[tuple[float, float, float]] = []
    found = []
    for disc, name in zip(discs, names, strict=True):
        said = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
        half, y = LETTER * len(said) / 2, disc.y - disc.radius
        middle = y - 4 - LINE / 2
        free = all(abs(disc.x - x) >= half + other or abs(y - at) >= LINE for x, at, other in taken) and all(
            abs(disc.x - d.x) >= half + d.radius or abs(middle - d.y) >= LINE / 2 + d.radius
            for d in discs
            if d is not disc
        )
        if free:
            taken.append((disc.x, y, half))
        found.append(replace(disc, name=said if free else ""))
    return found


def _paths(graph: ShownGraph, discs: list[Disc]) -> list[str]:
    """Of each edge a curve from disc to disc; several between two nodes lie side by side."""
    seen: Counter[tuple[int, int]] = Counter()
    found = []
    for edge in graph.edges:
        seen[edge.head, edge.tail] += 1
        found.append(_path(edge, discs, seen[edge.head, edge.tail]))
    return found


def _path(edge: ShownEdge, discs: list[Disc], turn: int) -> str:
    a, b = discs[edge.head], discs[edge.tail]
    if edge.head == edge.tail:
        r = a.radius + 6 * turn
        return f"M{a.x} {a.y - a.radius:.1f}a{r:.1f} {r:.1f} 0 1 1 {a.radius:.1f} {a.radius:.1f}"
    dx, dy = b.x - a.x, b.y - a.y
    length = math.hypot(dx, dy) or 1.0
    ux, uy, bend = dx / length, dy / length, BEND * length * turn
    start = a.x + ux * a.radius, a.y + uy * a.radius
    # The arrow's head is 8 long.
    end = b.x - ux * (b.radius + 7), b.y - uy * (b.radius + 7)
    middle = (start[0] + end[0]) / 2 - uy * bend, (start[1] + end[1]) / 2 + ux * bend
    numbers = [f"{value:.1f}" for value in (*start, *middle, *end)]
    return "M{} {}Q{} {} {} {}".format(*numbers)
