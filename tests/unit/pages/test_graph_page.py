"""The page of a graph: what it draws, of how much, the sentences behind a click, and names that mean harm."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tablert_dist.cli import main
from tablert_dist.inference.graph.mentions import document_of
from tablert_dist.inference.graph.store import GraphStore
from tablert_dist.pages.graph.build import AROUND, pieces, shown_graph
from tablert_dist.pages.graph.layout import places
from tablert_dist.pages.graph.page import to_html
from tests.support.browser import CHROMIUM, Drawn, chromium
from tests.unit.inference.test_graph import HOSTILE, SMALL, WILD, result, write


def graph(lines: Sequence[dict[str, Any]], most: int = 200, symmetric: Sequence[str] = ()) -> Any:
    with GraphStore(symmetric=symmetric, texts=True) as store:
        for number, line in enumerate(lines, 1):
            store.add(document_of(line, str(number)))
        return shown_graph(store, most)


def page_of(lines: Sequence[dict[str, Any]], tmp_path: Path) -> Path:
    out = tmp_path / "graph.html"
    source = write(tmp_path / "in.jsonl", lines)
    found = CliRunner().invoke(main, ["graph", str(source), "--to", "html", "--out", str(out)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return out


def test_nodes_of_most_triples_come_first_with_the_sentences_that_say_them() -> None:
    found = graph(SMALL)
    assert [(n.node.name, n.node.type) for n in found.nodes[:2]] == [("Ada Holt", "Person"), ("Acme", "Company")]
    assert (found.all_nodes, found.all_edges, found.documents) == (4, 3, 3)
    works = next(e for e in found.edges if e.edge.type == "works for")
    assert [q.document for q in works.quotes] == ["1", "second"] and works.edge.mentions == 2
    for quote in works.quotes:
        said = {role: text for text, role in quote.pieces if role}
        assert said["head"].casefold().split() == ["ada", "holt"] and said["tail"] == "Acme"
    alone = next(n for n in found.nodes if n.node.name == "Oslo")
    assert [q.pieces[0] for q in alone.quotes] == [("Oslo", "head")] and not alone.leaving


def test_every_node_and_edge_leads_to_its_sentences(tmp_path: Path) -> None:
    drawn = Drawn(page_of(SMALL, tmp_path).read_text(encoding="utf-8"))
    ids = [attributes["id"] for _, attributes in drawn.elements if "id" in attributes]
    links = {a["href"].removeprefix("#") for a in drawn.all("a")}
    assert links <= set(ids) and len(ids) == len(set(ids))
    assert {"n0", "n1", "n2", "n3", "r0", "r1", "r2", "all"} <= links
    kinds = [a["id"] for a in drawn.all("input", type="checkbox")]
    assert kinds == ["entity0", "entity1", "entity2", "relation0", "relation1", "relation2"]
    for name in kinds:
        assert [a for _, a in drawn.elements if name in a.get("class", "").split()], "hidden with its type"


def test_what_is_shown_is_bounded_and_says_of_how_much(tmp_path: Path) -> None:
    hub = [result((f"Worker {i}", "Person"), ("Acme", "Company"), relations=[(0, "works for", 1)]) for i in range(300)]
    found = graph(hub)
    assert (len(found.nodes), len(found.edges), found.all_nodes) == (200, 199, 301)
    page = page_of(hub, tmp_path).read_text(encoding="utf-8")
    assert "301 nodes and 300 edges from 300 texts" in page and "Shown: the 200 nodes of most triples" in page
    crowd = [result(("Ada", "Person"), ("Acme", "Company"), relations=[(0, "works for", 1)]) for _ in range(50)]
    assert len(graph(crowd).edges[0].quotes) == 5


@given(
    st.integers(0, 30).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, max(n - 1, 0))] * 2)))
    )
)
def test_places_are_finite_inside_and_the_same_again(case: tuple[int, list[tuple[int, int]]]) -> None:
    count, edges = case[0], case[1] if case[0] else []
    at = places(count, edges)
    assert at.shape == (count, 2) and np.isfinite(at).all() and ((at >= 0) & (at <= 1)).all()
    assert np.array_equal(at, places(count, edges))


def test_joined_nodes_lie_nearer_than_others() -> None:
    edges = [(i, i + 1) for i in range(0, 40, 2)]
    at = places(40, edges)
    apart = np.linalg.norm(at[:, None] - at[None], axis=-1)
    joined = np.mean([apart[a, b] for a, b in edges])
    assert joined < 0.5 * apart[np.triu_indices(40, 1)].mean()


TEXT = "x" * 400


@given(st.tuples(*[st.tuples(st.integers(0, 399), st.integers(1, 30))] * 2))
def test_pieces_are_the_text_around_the_spans(spans: tuple[tuple[int, int], tuple[int, int]]) -> None:
    text = "".join(chr(0x4E00 + i) for i in range(400))
    first, second = ((a, min(400, a + n)) for a, n in spans)
    found = pieces(text, (first, second))
    plain = "".join(piece for piece, _ in found).strip("…")
    assert (
        plain in text and text[max(0, first[0] - AROUND) : first[1]] in plain and text[second[0] : second[1]] in plain
    )
    roles = {role: piece for piece, role in found if role}
    if first[1] <= second[0] or second[1] <= first[0]:
        assert roles == {"head": text[slice(*first)], "tail": text[slice(*second)]}


def test_names_that_mean_harm_stay_names(tmp_path: Path) -> None:
    lines = [*WILD, result(("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>'), ("</style>{{7*7}}", "x"))]
    text = page_of(lines, tmp_path).read_text(encoding="utf-8")
    assert text.count("<script>") == 1 and "<img" not in text and "{{7*7}}" in text
    assert "default-src 'none'" in text and not re.search(r"(?:src|href)=\"(?!#|data:,)", text)
    shown = unescape(text)
    for name in HOSTILE[:3]:
        assert name.split("\n")[0].split()[0] in shown


def test_the_page_is_the_same_for_the_same_graph(tmp_path: Path) -> None:
    assert to_html(graph(SMALL), "bundle-7") == to_html(graph(SMALL), "bundle-7")
    assert "bundle-7" in to_html(graph(SMALL), "bundle-7")
    for lines in ([result(("Oslo", "Place"))], [result(("Ada", "P"), ("ADA", "P"), relations=[(0, "is", 1)])]):
        page = to_html(graph(lines))
        assert not re.search(
            "NaN|nan|inf|None|undefined", re.sub(r"<script>.*</script>|<style>.*?</style>", "", page, flags=re.S)
        )


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_a_browser_draws_it_and_searches(tmp_path: Path) -> None:
    page = page_of(SMALL, tmp_path)
    drawn = Drawn(chromium(page, tmp_path / "one", "--dump-dom"))
    assert len(drawn.all("circle")) == 4 and len(drawn.all("blockquote")) >= 4
    assert not [a for a in drawn.all("li") if "off" in a.get("class", "").split()]
    found = Drawn(chromium(f"{page.as_uri()}?q=oSLo", tmp_path / "two", "--dump-dom"))
    kept = [a["data-name"] for a in found.all("li") if "data-name" in a and "off" not in a["class"].split()]
    assert kept == ["Oslo"]


def test_predict_writes_the_page_too(tmp_path: Path) -> None:
    out = tmp_path / "graph.html"
    source = tmp_path / "texts.txt"
    source.write_text("Ada works at Acme near Oslo .\n", encoding="utf-8")
    bundle = Path("tests/data/golden/bundle/cnn-fp32").resolve()
    words = ["predict", "--model", str(bundle), "--in", str(source), "--to", "html", "--out", str(out)]
    found = CliRunner().invoke(main, words, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    text = out.read_text(encoding="utf-8")
    assert text.count("<circle") == 3 and "works" in text and json.dumps("Ada")[1:-1] in text
