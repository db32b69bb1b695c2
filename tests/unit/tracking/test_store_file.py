"""The SQLite store: made whole or not at all, a half-made one said with the way out, permanent errors said to be that."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tablert_dist.cli import main
from tablert_dist.errors import InputError
from tablert_dist.tracking import begin_run, default_uri, register, store

MAKE = (
    "import sys; from tablert_dist.tracking import store; store.connect(sys.argv[1]).search_experiments(max_results=1)"
)


def making(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", MAKE, default_uri(folder)], stderr=subprocess.DEVNULL)


def tables(file: Path) -> set[str]:
    with sqlite3.connect(file) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def half_made(folder: Path, runs: int = 0) -> Path:
    """What a kill in a migration of SQLite leaves: the table that was to be renamed."""
    folder.mkdir(parents=True)
    file = folder / "mlflow.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE _alembic_tmp_tags (key TEXT)")
        database.execute("CREATE TABLE runs (id TEXT)")
        database.executemany("INSERT INTO runs VALUES (?)", [(str(i),) for i in range(runs)])
    database.close()
    return file


def test_a_kill_while_the_store_is_made_leaves_none(tmp_path: Path) -> None:
    """Killed as soon as SQLite has written anything, wherever; what comes next makes the store and can use it."""
    child = making(tmp_path)
    deadline = time.monotonic() + 120
    while not [p for p in tmp_path.glob(".mlflow.db.*.part") if p.stat().st_size > 20_000]:
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "mlflow.db").exists()
    with begin_run(tmp_path / "run", uri=default_uri(tmp_path), experiment="e", name="r") as tracker:
        tracker.metrics({"loss": 1.0}, 1)
    assert {"runs", "alembic_version"} <= tables(tmp_path / "mlflow.db")
    assert sorted(p.name for p in tmp_path.glob(".mlflow.db*")) == [".mlflow.db.lock"], "what was left is gone"


def test_two_processes_make_one_store(tmp_path: Path) -> None:
    children = [making(tmp_path) for _ in range(2)]
    assert [child.wait(240) for child in children] == [0, 0]
    assert "runs" in tables(tmp_path / "mlflow.db") and not list(tmp_path.glob(".mlflow.db.*.part"))


@pytest.mark.parametrize(
    ("runs", "way"), [(0, "it holds no run, so delete it: rm "), (3, "it holds 3 runs: put a backup")]
)
def test_a_half_made_store_is_said_with_the_way_out(tmp_path: Path, runs: int, way: str) -> None:
    file = half_made(tmp_path / "runs", runs)
    for use in (
        lambda: store.connect(default_uri(file.parent)),
        lambda: register(default_uri(file.parent), "m", "u", "a"),
    ):
        with pytest.raises(InputError) as refusal:
            use()
        told = str(refusal.value)
        assert "was left half-made by a process that was killed (table _alembic_tmp_tags)" in told and way in told
    assert store.is_permanent(refusal.value)


def test_what_no_waiting_helps_is_said_at_once_and_sent_when_it_is_put_right(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = half_made(tmp_path / "runs")
    run = tmp_path / "runs" / "r"
    with caplog.at_level(logging.WARNING):
        tracker = begin_run(run, uri=default_uri(tmp_path / "runs"), experiment="e", name="r")
        tracker.metrics({"loss": 1.0}, 1)
        started = time.monotonic()
        assert not tracker.close("FINISHED", timeout=60)
    assert time.monotonic() - started < 30, "it does not wait for what does not come"
    assert "half-made" in caplog.text and "send the rest later" not in caplog.text
    assert "until that is put right" in caplog.text and f"tablert sync {run}" in caplog.text
    done = CliRunner().invoke(main, ["sync", str(run)])
    assert done.exit_code == 2 and "rm " in done.stderr and done.stdout == ""
    file.unlink()
    done = CliRunner().invoke(main, ["sync", str(run)])
    assert done.exit_code == 0 and done.stdout == "everything is in MLflow: 1 run\n", done.output


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"something else, longer than a header of SQLite's" * 100)
    with pytest.raises(InputError, match=r"mlflow\.db is no SQLite database .*move it away"):
        store.connect(default_uri(tmp_path))


@pytest.mark.parametrize(
    ("said", "permanent"),
    [
        ("table _alembic_tmp_tags already exists", True),
        ("Detected out-of-date database schema (found version a, but expected b)", True),
        ("API request to endpoint failed with error code 401 != 200", True),
        ("database is locked", False),
        ("Max retries exceeded with url: /api (Connection refused)", False),
        ("API request failed with error code 503", False),
    ],
)
def test_which_errors_pass(said: str, permanent: bool) -> None:
    assert store.is_permanent(RuntimeError(said)) is permanent


def test_a_search_is_sent_with_its_trials_its_own_run_first(tmp_path: Path) -> None:
    """Written where nothing was sent, as by workers without MLflow; one journal is of a trial in a stage."""
    uri, run = default_uri(tmp_path / "runs"), tmp_path / "runs" / "search"
    parent = begin_run(run, uri=uri, experiment="s", name="search", sends=False)
    for name in ("trial-00", "trial-01", "stage-2/trial-00"):
        child = begin_run(run / name, uri=uri, experiment="s", name=name, parent=parent.uid, sends=False)
        child.metrics({"loss": 1.0}, 1)
        child.close("FINISHED")
    parent.close("FINISHED")
    done = CliRunner().invoke(main, ["sync", str(run)])
    assert done.exit_code == 0 and done.stdout == "everything is in MLflow: 4 runs\n", done.output
    client = store.connect(uri)
    found = {r.info.run_name: r for r in client.search_runs([client.get_experiment_by_name("s").experiment_id])}
    assert set(found) == {"search", "trial-00", "trial-01", "stage-2/trial-00"}
    above = found.pop("search").info.run_id
    assert {r.data.tags["mlflow.parentRunId"] for r in found.values()} == {above}
    away = CliRunner().invoke(main, ["sync", str(run), "--uri", "http://127.0.0.1:9", "--timeout", "1"])
    assert away.exit_code == 1 and "MLflow took 0 of 4 runs within 1 s" in away.stderr


def test_a_folder_without_journals_is_refused(tmp_path: Path) -> None:
    for folder, told in ((tmp_path, "has no journal.jsonl in it"), (tmp_path / "no", "there is no folder")):
        done = CliRunner().invoke(main, ["sync", str(folder)])
        assert done.exit_code == 2 and told in done.stderr
