"""Several writers at once: every value is in MLflow once, and nobody is told of a race that the next try wins."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tablert_dist.tracking import begin_run, default_uri, read_uid, replay, store
from tablert_dist.tracking.journal import read_events
from tablert_dist.tracking.sqlite_store import sqlite_file


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One SQLite store for all tests; each has its own experiment."""
    return default_uri(tmp_path_factory.mktemp("runs"))


def test_two_processes_at_once_write_each_value_once(uri: str, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tablert_dist.tracking import begin_run\n"
        "t = begin_run(Path(sys.argv[1]), uri=sys.argv[2], experiment='two', name='r')\n"
        "for step in range(200): t.metrics({'a': step, 'b': 1}, step)\n"
        "sys.exit(not t.close())"
    )
    command = [sys.executable, "-c", code, str(tmp_path), uri]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [p.wait(60) for p in processes] == [0, 0]
    client = store.connect(uri)
    run = store.find_run(client, read_uid(tmp_path) or "")
    assert run is not None
    history = client.get_metric_history(run.info.run_id, "a")
    assert [(m.step, m.value) for m in history] == [(step, float(step)) for step in range(200)]
    assert sum(event["kind"] == "start" for event, _ in read_events(tmp_path) if event) == 1


def test_trials_that_name_the_same_data_at_once_say_nothing(
    uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # MLflow looks for a data set and then writes it: without another try, half of these were "cannot be used now".
    trackers = [begin_run(tmp_path / str(i), uri=uri, experiment="race", name=str(i)) for i in range(6)]
    for number in range(12):
        for tracker in trackers:
            tracker.dataset(f"data {number}", "f" * 64, "training", {"sentences": 3})
    assert all(tracker.close("FINISHED", timeout=60.0) for tracker in trackers)
    client = store.connect(uri)
    runs = [store.find_run(client, tracker.uid or "") for tracker in trackers]
    assert [len(run.inputs.dataset_inputs) if run else None for run in runs] == [12] * 6
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    "said",
    [
        "(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.name",
        '(psycopg2.errors.UniqueViolation) duplicate key value violates unique constraint "dataset_pk"',
        "(pymysql.err.IntegrityError) (1062, \"Duplicate entry 'a' for key 'datasets.PRIMARY'\")",
    ],
)
def test_a_race_as_each_database_says_it(said: str) -> None:
    assert store.is_race(RuntimeError(said)) and not store.is_permanent(RuntimeError(said))
    assert not store.is_race(RuntimeError("(sqlite3.OperationalError) database is locked"))


def test_a_store_that_somebody_has_locked_is_waited_for(uri: str, tmp_path: Path) -> None:
    store.connect(uri)
    file = sqlite_file(uri)
    assert file is not None
    other = sqlite3.connect(file)
    other.execute("BEGIN EXCLUSIVE")
    tracker = begin_run(tmp_path / "run", uri=uri, experiment="locked", name="r")
    for step in range(100):
        tracker.metrics({"a": step}, step)
    assert not tracker.close(timeout=1.0), "nothing can be written"
    other.rollback()
    assert replay(tmp_path / "run", 60.0)
    client = store.connect(uri)
    run = store.find_run(client, tracker.uid or "")
    assert run is not None and len(client.get_metric_history(run.info.run_id, "a")) == 100
