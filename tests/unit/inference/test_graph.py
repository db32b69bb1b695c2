"""Results as a knowledge graph: what is merged, and what independent readers of each form find in it."""

from __future__ import annotations

import csv
import json
import math
import sys
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx
import pyarrow.parquet
import pytest
import rdflib
from click.testing import CliRunner, Result
from pyld import jsonld
from rdflib.compare import isomorphic

from tablert_dist.cli import main
from tablert_dist.inference.graph.cypher import labels
from tablert_dist.inference.graph.targets import TARGETS
from tests.support import TESTS

T = "urn:tablert:"
BUNDLE = TESTS / "data" / "golden" / "bundle" / "cnn-fp32"
HOSTILE = [
    "'}) DETACH DELETE n //", '"quoted" \\ back', "line\nbreak\ttab", "<b>&amp;</b> ]]>", "`tick`", "zero\x00width\u200b",
    "Łódź 東京 👩‍🚀", "a;b,c|d", "$rows {id: 1}", "http://a b/{c}", "=1+1", "\x1f\x7f\ufffe",
]  # fmt: skip


def result(*entities: tuple[str, str], relations: Sequence[tuple[int, str, int]] = (), **more: Any) -> dict[str, Any]:
    """A line as `tablert predict` writes it, whose text is the entities in turn."""
    text, found = "", []
    for name, kind in entities:
        found.append({"start": len(text), "end": len(text) + len(name), "text": name, "type": kind, "probability": 0.5})
        text += name + " . "
    told = [
        {"head": h, "type": kind, "tail": t, "probability": 0.5, "triple_probability": 0.125}
        for h, kind, t in relations
    ]
    return {"text": text, "entities": found, "relations": told, **more}


SMALL = [
    result(("Ada Holt", "Person"), ("Acme", "Company"), relations=[(0, "works for", 1)]),
    result(("Oslo", "Place")),
    result(
        ("ADA  HOLT", "Person"), ("Acme", "Company"), ("Acme", "Person"),
        relations=[(0, "works for", 1), (0, "knows", 2), (1, "employs", 0)], id="second",
    ),
]  # fmt: skip
WILD = [
    result(
        *((name, name or "x") for name in HOSTILE), relations=[(i, name, i + 1) for i, name in enumerate(HOSTILE[:-1])]
    )
]


def write(path: Path, lines: Sequence[Mapping[str, Any] | str]) -> Path:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["graph", *map(str, words)], catch_exceptions=False)


def made(tmp_path: Path, lines: Sequence[Mapping[str, Any] | str], form: str, *options: str) -> Path:
    out = tmp_path / f"graph{TARGETS[form].ending}"
    found = run(write(tmp_path / "in.jsonl", lines), "--to", form, "--out", out, "--force", *options)
    assert found.exit_code == 0, found.output
    return out


def rdf(tmp_path: Path, lines: Sequence[Mapping[str, Any] | str], *options: str) -> rdflib.Graph:
    return rdflib.Graph().parse(made(tmp_path, lines, "turtle", *options), format="turtle")


def test_equal_names_are_one_node_and_equal_triples_one_edge_with_all_evidence(tmp_path: Path) -> None:
    graph = rdf(tmp_path, SMALL, "--model", "bundle-7")
    ada, acme = rdflib.URIRef(T + "entity/Person/ada%20holt"), rdflib.URIRef(T + "entity/Company/acme")
    works = rdflib.URIRef(T + "relation/works%20for")
    assert set(graph.subjects(rdflib.RDF.type, rdflib.URIRef(T + "class/Person"))) == {
        ada, rdflib.URIRef(T + "entity/Person/acme"),
    }  # fmt: skip
    assert str(graph.value(ada, rdflib.RDFS.label)) == "Ada Holt", "of two forms that are as frequent the first"
    assert list(graph.triples((None, works, None))) == [(ada, works, acme)]
    statement = graph.value(predicate=rdflib.RDF.predicate, object=works)
    vocabulary = rdflib.Namespace(T)
    places = list(graph.objects(statement, vocabulary.evidence))
    assert {str(graph.value(p, vocabulary.document)) for p in places} == {"1", "second"}
    for place in places:
        assert float(graph.value(place, vocabulary.tripleProbability)) == 0.125
        assert str(graph.value(place, vocabulary.model)) == "bundle-7"
        number = {"1": 0, "second": 2}[str(graph.value(place, vocabulary.document))]
        start, end = (int(graph.value(place, vocabulary[key])) for key in ("headStart", "headEnd"))
        assert SMALL[number]["text"][start:end].casefold().split() == ["ada", "holt"]


@pytest.mark.parametrize("lines", [SMALL, WILD], ids=["small", "hostile"])
def test_every_form_holds_what_the_lines_hold(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    keys = {(" ".join(e["text"].casefold().split()), e["type"]) for line in lines for e in line["entities"]}
    if lines is WILD:
        assert len(keys) == len(HOSTILE)
    said = {
        (line["entities"][r["head"]]["text"].casefold().split()[0], r["type"], line["entities"][r["tail"]]["text"])
        for line in lines for r in line["relations"]
    }  # fmt: skip
    triples = sum(len(line["relations"]) for line in lines)
    turtle = rdf(tmp_path, lines)
    as_jsonld = json.loads(made(tmp_path, lines, "jsonld").read_text(encoding="utf-8"))
    quads = jsonld.to_rdf(as_jsonld, {"format": "application/n-quads"})
    assert isomorphic(turtle, rdflib.Graph().parse(data=quads, format="nt"))
    assert len(set(turtle.subjects(rdflib.RDFS.label))) == len(keys)
    assert len(set(turtle.subjects(rdflib.RDF.type, rdflib.RDF.Statement))) == len(said)
    assert len(list(turtle.objects(None, rdflib.URIRef(T + "evidence")))) == triples
    drawn = networkx.read_graphml(made(tmp_path, lines, "graphml"), force_multigraph=True)
    assert (drawn.number_of_nodes(), drawn.number_of_edges()) == (len(keys), len(said))
    assert sum(edge["mentions"] for _, _, edge in drawn.edges(data=True)) == triples
    with (made(tmp_path, lines, "csv") / "nodes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    folder = made(tmp_path, lines, "parquet")
    assert [row["id"] for row in rows] == pyarrow.parquet.read_table(folder / "nodes.parquet")["id"].to_pylist()
    assert len(rows) == len(keys) and set(drawn.nodes) == {row["id"] for row in rows}
    evidence = pyarrow.parquet.read_table(folder / "evidence.parquet").to_pylist()
    assert len(evidence) == triples and all(math.isclose(row["triple_probability"], 0.125) for row in evidence)


def test_names_are_only_ever_parameters_of_cypher(tmp_path: Path) -> None:
    lines = made(tmp_path, WILD, "cypher").read_text(encoding="utf-8").splitlines()
    statements = [json.loads(line) for line in lines]
    for one in statements[1:]:
        text = one["statement"]
        assert text.startswith("UNWIND $rows AS row M") and one["parameters"]["rows"]
        assert not {"'", '"', "`", "\\", "/"} & set(text) and "DELETE n" not in text
    names = [row["name"] for one in statements[1:] for row in one["parameters"]["rows"] if "name" in row]
    assert sorted(names) == sorted(HOSTILE)
    kinds = [row["type"] for one in statements[1:] for row in one["parameters"]["rows"] if "head" in row]
    assert sorted(kinds) == sorted(HOSTILE[:-1])


def test_labels_need_no_quotes_and_stay_apart() -> None:
    found = labels(["works-for", "works for", "3D", "", "Entity", "東京", "MATCH"])
    assert len(set(found.values())) == 7 and "Entity" not in found.values()
    assert all(
        label.isascii() and label.replace("_", "a").isalnum() and not label[0].isdigit() for label in found.values()
    )


def test_a_symmetric_relation_is_one_edge_in_either_order(tmp_path: Path) -> None:
    lines = [
        result(("Ada", "Person"), ("Bo", "Person"), relations=[(0, "married", 1)]),
        result(("Bo", "Person"), ("Ada", "Person"), relations=[(0, "married", 1)]),
    ]
    assert len(list(rdf(tmp_path, lines).triples((None, rdflib.URIRef(T + "relation/married"), None)))) == 2
    graph = rdf(tmp_path, lines, "--symmetric", "married")
    assert len(list(graph.triples((None, rdflib.URIRef(T + "relation/married"), None)))) == 1
    starts = {int(o) for o in graph.objects(None, rdflib.URIRef(T + "headStart"))}
    assert starts == {0, 5}, "each piece of evidence has its own place of the head"


LINKER = """
def known(mention):
    if mention.text.casefold() == "acme":
        assert mention.context[mention.start:mention.end] == mention.text
        return "http://www.wikidata.org/entity/Q1"
def broken(mention):
    return mention.text[100]
def odd(mention):
    return 7
"""


def test_a_linker_names_the_nodes_that_it_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "linking_of_tests.py").write_text(LINKER, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "linking_of_tests", raising=False)
    graph = rdf(tmp_path, SMALL, "--link", "linking_of_tests:known", "--base", "https://example.org/g/")
    named = {str(s) for s in graph.subjects(rdflib.RDFS.label)}
    assert named == {
        "https://example.org/g/entity/Person/ada%20holt", "https://example.org/g/entity/Place/oslo",
        "http://www.wikidata.org/entity/Q1",
    }  # fmt: skip
    for name, said in {"broken": "IndexError", "odd": "gave 7 for 'Ada Holt'", "none": "has no 'none'"}.items():
        out = tmp_path / "refused.ttl"
        found = run(tmp_path / "in.jsonl", "--to", "turtle", "--out", out, "--link", f"linking_of_tests:{name}")
        assert found.exit_code == 2 and said in found.output and "Traceback" not in found.output and not out.exists()


def test_what_is_no_result_is_left_out_and_counted_and_strict_refuses_it(tmp_path: Path) -> None:
    bad = [
        "nonsense",
        "[]",
        {"text": 1},
        {"text": "a", "entities": [{"start": 0, "end": 9, "type": "x"}], "relations": []},
    ]
    source = write(tmp_path / "in.jsonl", [*bad, *SMALL, {"line": 8, "error": "too long"}])
    out = tmp_path / "out.ttl"
    found = run(source, "--to", "turtle", "--out", out)
    assert found.exit_code == 0 and "line 4: entities[0]: characters 0 … 9 do not lie in the text of 1" in found.output
    assert "1 line of texts that could not be read" in found.output and "from 3 texts" in found.output
    refused = run(source, "--to", "turtle", "--out", tmp_path / "strict.ttl", "--strict")
    assert refused.exit_code == 2 and "line 1: not JSON" in refused.output and not (tmp_path / "strict.ttl").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "turtel", "--out", "o"], "did you mean 'turtle'?"),
        (["--to", "turtle"], "--to and --out belong together"),
        ([], "give either --to"),
        (["--to", "turtle", "--out", "o", "--base", "no iri"], "expected the beginning of an IRI"),
        (["--to", "turtle", "--out", "none/o"], "there is no folder 'none'"),
        (["--to", "turtle", "--out", "o", "--link", "nowhere"], "expected module:function"),
        (["--to", "turtle", "--out", "o", "--link", "nowhere_at_all:f"], "there is no module 'nowhere_at_all'"),
        (["--database", "redis://x"], "expected a URL such as bolt://"),
        (["--database", "bolt://user:secret@localhost:1"], "leave user and password out of the URL"),
        (["--database", "bolt://127.0.0.1:1"], "cannot be reached"),
    ],
)
def test_a_wrong_call_is_a_sentence(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run(write(tmp_path / "in.jsonl", SMALL), *words)
    assert found.exit_code == 2 and said in found.output and "secret" not in found.output.replace("user:secret", "")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [([], "is empty"), ([{"line": 1, "error": "x"}] * 2, "none of its 2 texts"), (["?"], "has no results; ")],
)
def test_nothing_to_write_is_refused(lines: list[Any], said: str, tmp_path: Path) -> None:
    found = run(write(tmp_path / "in.jsonl", lines), "--to", "turtle", "--out", tmp_path / "o.ttl")
    assert found.exit_code == 2 and said in found.output and not (tmp_path / "o.ttl").exists()


def predict(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["predict", "--model", str(BUNDLE), *map(str, words)], catch_exceptions=False)


@pytest.mark.parametrize("form", ["turtle", "csv"])
def test_predict_writes_the_graph_of_its_results(form: str, tmp_path: Path) -> None:
    texts = ["Ada works at Acme near Oslo .", '{"text": 1}', "Ada Bo works at Acme near Oslo near Oslo ."]
    source = tmp_path / "in.txt"
    source.write_text("\n".join(texts) + "\n", encoding="utf-8")
    found = predict("--in", source, "--to", form, "--out", tmp_path / "at-once", "--base", "https://example.org/")
    assert found.exit_code == 0 and "from 2 texts" in found.output
    assert predict("--in", source, "--out", tmp_path / "lines.jsonl").exit_code == 0
    words = ["--to", form, "--base", "https://example.org/", "--model", BUNDLE.name, "--symmetric", "near"]
    assert run(tmp_path / "lines.jsonl", *words, "--out", tmp_path / "later").exit_code == 0
    one, other = tmp_path / "at-once", tmp_path / "later"
    if form == "csv":
        files = sorted(p.name for p in one.iterdir())
        assert files == sorted(f"{table}.csv" for table in ("nodes", "edges", "mentions", "evidence"))
        assert all((one / name).read_bytes() == (other / name).read_bytes() for name in files)
        assert len((one / "edges.csv").read_text(encoding="utf-8").splitlines()) > 1
    else:
        assert one.read_bytes() == other.read_bytes()


def test_a_type_that_the_rules_call_symmetric_is_one_edge_in_predicts_graph_too(tmp_path: Path) -> None:
    known = json.loads((BUNDLE / "schema.json").read_text(encoding="utf-8"))
    tree = {
        "entities": {name: {} for name in known["entity_types"]},
        "relations": {name: {} for name in known["relation_types"]},
    }
    tree["relations"]["works"] = {"symmetric": True, "functional": True}
    (tmp_path / "rules.json").write_text(json.dumps(tree))
    (tmp_path / "in.txt").write_text("Ada works at Acme near Oslo .\nBo works at Acme near Oslo .\n", encoding="utf-8")
    words = ["--in", tmp_path / "in.txt", "--set", f"predict.constraints={tmp_path / 'rules.json'}"]
    assert predict(*words, "--to", "csv", "--out", tmp_path / "at-once").exit_code == 0
    assert predict(*words, "--out", tmp_path / "lines.jsonl").exit_code == 0
    later = ["--to", "csv", "--model", BUNDLE.name, "--symmetric", "near", "--symmetric", "works"]
    assert run(tmp_path / "lines.jsonl", *later, "--out", tmp_path / "later").exit_code == 0
    one, other = ((tmp_path / name / "edges.csv").read_text(encoding="utf-8") for name in ("at-once", "later"))
    assert one == other and "works" in one


def test_predict_refuses_what_a_graph_cannot_do_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("Ada works at Acme .\n{\n", encoding="utf-8")
    for words, said in (
        (["--to", "turtle"], "give --out FILE, without --resume"),
        (["--to", "turtle", "--out", tmp_path / "o", "--resume"], "give --out FILE, without --resume"),
        (["--to", "rdf", "--out", tmp_path / "o"], "--to rdf: there are turtle"),
        (["--base", "urn:x:", "--out", tmp_path / "o"], "--link and --base are for --to"),
        (["--to", "csv", "--out", tmp_path / "o", "--strict"], "line 2"),
    ):
        found = predict("--in", source, *words)
        assert found.exit_code == 2 and said in found.output, found.output
        assert [p.name for p in tmp_path.iterdir()] == ["in.txt"]


def test_memory_does_not_grow_with_the_lines(tmp_path: Path) -> None:
    """Ten times as many lines of the same names take no more than a few MB."""
    peaks = []
    for count in (200, 2000):
        lines = [
            result((f"P{i % 50}", "Person"), (f"C{i % 20}", "Company"), relations=[(0, "of", 1)]) for i in range(count)
        ]
        write(tmp_path / "in.jsonl", lines)
        del lines
        tracemalloc.start()
        for form in ("turtle", "jsonld", "graphml"):
            out = tmp_path / f"out-{form}"
            assert run(tmp_path / "in.jsonl", "--to", form, "--out", out, "--force").exit_code == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2**20, peaks
