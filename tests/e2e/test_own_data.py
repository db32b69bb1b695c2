"""docs/guides/own-data.md as its reader meets it: every command, in order, on data annotated for this test."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tablert_dist.config import DataConfig
from tablert_dist.data import formats
from tablert_dist.data.validation import examine_path
from tests.support import DATA, ROOT, docs
from tests.support.outputs import commands_here

OWN = DATA / "own"
PAGE = ROOT / "docs" / "guides" / "own-data.md"
LIMIT_S = 1500


def lines() -> str:
    """The page's commands."""
    return "\n".join(block.text for block in docs.blocks(PAGE) if block.language == "bash")


def script(port: int) -> str:
    # `tablert quick` goes the same way in one command; test_quick.py runs it, on an export of its own.
    steps = [line for line in lines().splitlines() if not line.startswith("tablert quick ")]
    commands = "\n".join(steps).replace("8000", str(port))
    # `kill %1` wants job control; the first command that fails ends it.
    return f"set -e -o pipefail -m\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{commands}\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_pages_commands_are_those_that_are_meant() -> None:
    verbs = re.findall(r"^(tablert(?:-export)?(?: data)? [a-z-]+)", lines(), re.MULTILINE)
    assert [v.removeprefix("tablert ") for v in verbs] == [
        "quick", "data convert", "data convert", "data check", "data split", "data check", "data split", "data sample", "train",
        "tablert-export --onnx", "evaluate", "predict", "render", "serve",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1600)
def test_every_command_of_the_page(tmp_path: Path, minilm: str) -> None:
    if pending := frozenset().union(*(block.pending for block in docs.blocks(PAGE))):
        pytest.skip(f"not built yet: {', '.join(sorted(pending))}")
    work = tmp_path / "work"
    shutil.copytree(OWN / "brat", work / "brat")
    shutil.copy(OWN / "export.json", work / "export.json")
    shutil.copy(OWN / "data.json", work / "ready.json")
    done = subprocess.run(
        ["bash", "-c", script(free_port())],
        cwd=work,
        env=commands_here(tmp_path / "bin"),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "seeds 1" in done.stdout and "sentences identical" in done.stdout
    left = {p.name for p in work.iterdir()}
    assert {"check.html", "data", "folds", "curve-0.25.json", "runs", "bundle", "triples.jsonl", "triples.html"} <= left
    assert "entities" in (work / "answer.json").read_text(encoding="utf-8"), "the server's answer"
    json.loads((work / "answer.json").read_text(encoding="utf-8"))
    (extracted,) = (work / "triples.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(extracted)["text"] == "Mira Holt works for Ostrava Looms."


def entity_texts(words: Any, entities: Any) -> list[tuple[str, str]]:
    return [("".join(words[e["start"] : e["end"]]), e["type"]) for e in entities]


def test_the_three_forms_of_the_annotation_are_the_same() -> None:
    """Independent of any reader: by the entities' letters and the relations between them."""
    expected: list[tuple[str, str]] = []
    triples: list[tuple[str, str, str]] = []
    for record in json.loads((OWN / "data.json").read_text(encoding="utf-8")):
        names = entity_texts(record["tokens"], record["entities"])
        expected += names
        triples += [(names[r["head"]][0], r["type"], names[r["tail"]][0]) for r in record["relations"]]
    studio, studio_triples = [], []
    for task in json.loads((OWN / "export.json").read_text(encoding="utf-8")):
        text = task["data"]["text"]
        named = {}
        for item in task["annotations"][0]["result"]:
            if item["type"] == "labels":
                value = item["value"]
                assert text[value["start"] : value["end"]] == value["text"]
                named[item["id"]] = value["text"].replace(" ", "")
                studio.append((named[item["id"]], value["labels"][0]))
            else:
                studio_triples.append((named[item["from_id"]], item["labels"][0], named[item["to_id"]]))
    brat, brat_triples = [], []
    for path in sorted((OWN / "brat").glob("*.ann")):
        text = path.with_suffix(".txt").read_text(encoding="utf-8")
        named = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            key, middle, *words = line.split("\t")
            kind, *rest = middle.split()
            if key[0] == "T":
                assert text[int(rest[0]) : int(rest[1])] == words[0]
                named[key] = words[0].replace(" ", "")
                brat.append((named[key], kind))
            else:
                ends = [named[r.partition(":")[2]] for r in rest]
                brat_triples.append((ends[0], kind, ends[1]))
    assert expected == studio == brat and len(expected) == 61
    assert triples == studio_triples == brat_triples and len(triples) == 32


def test_the_validation_has_no_error_against_it() -> None:
    report = examine_path(DataConfig(path=str(OWN / "data.json")))
    assert report.tally()["error"] == 0


@pytest.mark.parametrize("source", ["export.json", "brat"])
def test_conversion_keeps_every_entity_and_relation(source: str) -> None:
    found = formats.read(OWN / source)
    assert sum(len(s.entities) for s in found) == 61
    assert sum(len(s.relations) for s in found) == 32
    assert len({s.document for s in found}) == 9
