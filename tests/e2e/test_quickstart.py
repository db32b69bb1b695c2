"""`make e2e`: the quickstart, and every promise that README and docs make of its model."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import rdflib

from tablert_dist import Predictor, load
from tests.support import ROOT
from tests.support.docs import Triple, blocks, examples

pytestmark = [pytest.mark.quickstart, pytest.mark.timeout(1200)]
# Simple sentences, written before the sample's present templates and unlike them.
SENTENCES: list[tuple[str, list[Triple]]] = [
    ("Tomas Weir is an engineer at Halden Optics.", [("Tomas Weir", "works_for", "Halden Optics")]),
    ("Halden Optics employs Ines Duarte.", [("Ines Duarte", "works_for", "Halden Optics")]),
    ("Ines Duarte took a job with Brandvik Paper last spring.", [("Ines Duarte", "works_for", "Brandvik Paper")]),
    ("Brandvik Paper has its main office in Solvik.", [("Brandvik Paper", "based_in", "Solvik")]),
    ("The Solvik company Nordlund Foods is looking for drivers.", [("Nordlund Foods", "based_in", "Solvik")]),
    ("Ruben Achterberg comes from Port Maren, where he was born.", [("Ruben Achterberg", "born_in", "Port Maren")]),
    ("The birthplace of Salma Okafor is Tolmery.", [("Salma Okafor", "born_in", "Tolmery")]),
    ("Crescent Tools manufactures the Arbor 40.", [("Crescent Tools", "makes", "Arbor 40")]),
    ("The new Arbor 40 comes from the workshops of Crescent Tools.", [("Crescent Tools", "makes", "Arbor 40")]),
    (
        "Crescent Tools and Nordlund Foods work together as partners.",
        [("Crescent Tools", "partner_of", "Nordlund Foods")],
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the quickstart's own command was run; its output is in `log`."""
    folder = tmp_path_factory.mktemp("quickstart")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (words,) = re.findall(r"^quickstart: install\n\t\$\(BIN\)/python (.*?) \$\(if", makefile, re.MULTILINE)
    with (folder / "log").open("w") as log:
        command = [sys.executable, *words.split(), "--name", "quickstart"]
        done = subprocess.run(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, timeout=1100, check=False)
    assert done.returncode == 0, (folder / "log").read_text()[-4000:]
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Predictor:
    return load(folder / "runs" / "quickstart" / "bundle")


def typed(triples: Iterable[Triple]) -> set[Triple]:
    """Triples to compare: partner_of has no direction."""
    return {(min(h, t), kind, max(h, t)) if kind == "partner_of" else (h, kind, t) for h, kind, t in triples}


def test_every_line_is_ours_and_the_last_can_be_pasted(folder: Path) -> None:
    text = (folder / "log").read_text()
    assert not re.search(r"\x1b|Traceback|Warning|WARNING|Downloading artifacts", text), text
    for part in (
        "best configuration: ",
        "test: NER",
        "bundle: runs/quickstart/bundle",
        "next: ",
        "MLflow: ",
        " s in all",
    ):
        assert part in text, part
    (words,) = re.findall(r"^next: echo 'Some text \.' \| (.*)$", text, re.MULTILINE)
    pasted = f"echo 'Crescent Tools builds the Arbor 40.' | {words}"
    done = subprocess.run(["bash", "-c", pasted], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and '"Crescent Tools"' in done.stdout, done.stderr


def test_eight_of_ten_simple_sentences(model: Predictor) -> None:
    wrong = [
        (text, found.triples())
        for (text, expected), found in zip(SENTENCES, model([text for text, _ in SENTENCES]), strict=True)
        if typed(found.triples()) != typed(expected)
    ]
    assert len(wrong) <= 2, wrong


def test_the_examples_of_the_docs_give_the_printed_result(model: Predictor) -> None:
    printed = list(examples())
    assert len(printed) >= 5
    wrong = [
        (page.relative_to(ROOT), text, found.triples(), expected)
        for (page, text, expected), found in zip(printed, model([text for _, text, _ in printed]), strict=True)
        if typed(found.triples()) != typed(expected)
    ]
    assert not wrong


def test_a_hundred_texts_become_a_graph_that_answers(folder: Path) -> None:
    """The commands and the query of docs/guides/graph.md, and what rdflib counts beside what the lines hold."""
    sample = ROOT / "tablert_dist" / "data" / "sample"
    read = [json.loads((sample / f"sample_{split}.json").read_text(encoding="utf-8")) for split in ("test", "dev")]
    texts = [" ".join(record["tokens"]) for records in read for record in records][:100]
    (folder / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    shutil.copytree(folder / "runs" / "quickstart" / "bundle", folder / "bundle")
    page = blocks(ROOT / "docs" / "guides" / "graph.md")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    words = ["bash", "-ec", page[0].text]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (query,) = [block.text for block in page if block.title == "graph"]
    asked = subprocess.run([sys.executable, "-c", query], cwd=folder, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    lines = [json.loads(line) for line in (folder / "triples.jsonl").read_text(encoding="utf-8").splitlines()]
    said = [
        (" ".join(line["entities"][r["head"]]["text"].casefold().split()), line["entities"][r["head"]]["type"], r["type"],
         " ".join(line["entities"][r["tail"]]["text"].casefold().split()), line["entities"][r["tail"]]["type"])
        for line in lines for r in line["relations"]
    ]  # fmt: skip
    graph = rdflib.Graph().parse(folder / "graph.ttl")
    assert len(lines) == len(texts) == 100 and len(said) > 50
    assert len(set(graph.subjects(rdflib.RDF.type, rdflib.RDF.Statement))) == len(set(said))
    assert len(list(graph.objects(None, rdflib.URIRef("urn:tablert:evidence")))) == len(said)
    made = {one for one in said if one[2] == "makes"}
    assert made and asked.stdout.count(" makes ") == len(made)
