"""`--database` against a real server that speaks Bolt: what lies in it, twice, and what it refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import neo4j
import pytest

from tablert_dist.inference.graph.database import PASSWORD, USER
from tests.support import ROOT, graph_server
from tests.support.ray_head import free_ports
from tests.unit.inference.test_graph import HOSTILE, SMALL, WILD, run, write


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("database")
    bolt, http = free_ports(2)
    command = [sys.executable, "-m", "tests.support.graph_server", str(folder), str(bolt), str(http)]
    with (folder / "printed").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    try:
        assert process.stdout is not None
        # Ends at its end too, should it fail.
        assert any(line.strip() == "ready" for line in process.stdout), (folder / "printed").read_text()
        yield f"bolt://127.0.0.1:{bolt}/{graph_server.DATABASE}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def session(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[neo4j.Session]:
    """Of an empty database, with the credentials where the verb looks for them."""
    monkeypatch.setenv(USER, graph_server.USER)
    monkeypatch.setenv(PASSWORD, graph_server.PASSWORD)
    server, _, database = address.rpartition("/")
    with (
        neo4j.GraphDatabase.driver(server, auth=(graph_server.USER, graph_server.PASSWORD)) as driver,
        driver.session(database=database) as found,
    ):
        found.run("MATCH (n) DETACH DELETE n").consume()
        yield found


def everything(session: neo4j.Session) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    nodes = "MATCH (n) RETURN labels(n) AS labels, properties(n) AS is ORDER BY n.id"
    edges = "MATCH (h)-[r]->(t) RETURN h.id AS head, type(r) AS label, t.id AS tail, properties(r) AS is ORDER BY r.type, head"
    return session.run(nodes).data(), session.run(edges).data()


def test_a_second_run_changes_nothing(address: str, session: neo4j.Session, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", SMALL)
    assert run(source, "--database", address, "--model", "bundle-7").exit_code == 0
    first = everything(session)
    nodes, edges = first
    assert [(set(n["labels"]), n["is"]["name"], n["is"]["mentions"]) for n in nodes] == [
        ({"Entity", "Company"}, "Acme", 2), ({"Entity", "Person"}, "Acme", 1), ({"Entity", "Person"}, "Ada Holt", 2),
        ({"Entity", "Place"}, "Oslo", 1),
    ]  # fmt: skip
    assert [(e["label"], e["is"]["type"], e["is"]["documents"]) for e in edges] == [
        ("employs", "employs", ["second"]), ("knows", "knows", ["second"]), ("works_for", "works for", ["1", "second"]),
    ]  # fmt: skip
    assert all(edge["is"]["model"] == "bundle-7" for edge in edges)
    found = run(source, "--database", address, "--model", "bundle-7")
    assert found.exit_code == 0 and everything(session) == first
    asked = "MATCH (:Person {name: $name})-[:works_for]->(c) RETURN c.name AS company"
    assert session.run(asked, name="Ada Holt").data() == [{"company": "Acme"}]


def test_hostile_names_are_names(address: str, session: neo4j.Session, tmp_path: Path) -> None:
    assert run(write(tmp_path / "small.jsonl", SMALL), "--database", address).exit_code == 0
    found = run(write(tmp_path / "wild.jsonl", WILD), "--database", address)
    assert found.exit_code == 0, found.output
    nodes, edges = everything(session)
    assert len(nodes) == 4 + len(HOSTILE) and len(edges) == 3 + len(HOSTILE) - 1
    assert {node["is"]["name"] for node in nodes} >= set(HOSTILE)
    assert {edge["is"]["type"] for edge in edges} >= set(HOSTILE[:-1])
    of_nodes = {label for node in nodes for label in node["labels"]}
    assert len({edge["label"] for edge in edges}) == 3 + len(HOSTILE) - 1 and not of_nodes & {e["label"] for e in edges}


def test_wrong_credentials_are_a_sentence(
    address: str, session: neo4j.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "in.jsonl", SMALL)
    monkeypatch.setenv(PASSWORD, "guessed-wrong")
    found = run(source, "--database", address)
    assert found.exit_code == 2 and "refused the credentials" in found.output and "guessed-wrong" not in found.output
    monkeypatch.delenv(PASSWORD)
    found = run(source, "--database", address)
    assert found.exit_code == 2 and f"set {USER} and {PASSWORD}" in found.output
    assert not everything(session)[0]


def test_a_database_that_is_not_there_is_a_sentence(address: str, session: neo4j.Session, tmp_path: Path) -> None:
    found = run(write(tmp_path / "in.jsonl", SMALL), "--database", address + "-of-nobody")
    assert found.exit_code == 2 and "refused" in found.output and "Traceback" not in found.output
