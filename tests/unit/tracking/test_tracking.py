"""Every event of a journal is in a real MLflow exactly once, whatever is killed in between."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tablert_dist.errors import InputError
from tablert_dist.tracking import (
    NullTracker,
    begin_run,
    default_uri,
    download,
    experiment_page,
    promote,
    read_uid,
    redact,
    register,
    replay,
    store,
)
from tablert_dist.tracking.journal import read_events


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One SQLite store for all tests: making its tables takes seconds. Each test has its own experiment."""
    return default_uri(tmp_path_factory.mktemp("my runs"))


def run_of(uri: str, uid: str | None) -> Any:
    assert uid is not None
    client = store.connect(uri)
    run = store.find_run(client, uid)
    assert run is not None
    return run


def history(uri: str, uid: str | None, key: str) -> list[tuple[int, float]]:
    run = run_of(uri, uid)
    return [(m.step, m.value) for m in store.connect(uri).get_metric_history(run.info.run_id, key)]


def lines(folder: Path) -> list[Any]:
    return [event for event, _ in read_events(folder)]


def test_importing_is_light() -> None:
    heavy = "{'mlflow', 'ray', 'torch', 'transformers', 'pandas'}"
    code = f"import sys, tablert_dist.tracking; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_everything_of_a_run_arrives(uri: str, tmp_path: Path) -> None:
    (tmp_path / "files" / "deep").mkdir(parents=True)
    (tmp_path / "files" / "deep" / "a.txt").write_text("a")
    (tmp_path / "one.json").write_text("{}")
    before = time.time_ns() // 1_000_000
    params = {"train": {"epochs": 3, "seeds": (1, 2)}, "note": "x" * 7000, **{f"p{i}": i for i in range(150)}}
    with begin_run(
        tmp_path / "run", uri=uri, experiment="all", name="first", params=params, tags={"dataset": "toy"}
    ) as tracker:
        tracker.metrics({"dev/RE+": 0.5, "loss": 2}, step=1)
        tracker.metrics({"loss": math.nan, "up": math.inf}, step=2)
        tracker.artifact(tmp_path / "one.json")
        tracker.artifact(tmp_path / "files", "model")
        logged = time.time_ns() // 1_000_000
    run = run_of(uri, tracker.uid)
    assert run.info.run_name == "first" and run.info.status == "FINISHED"
    assert before <= run.info.start_time <= logged <= run.info.end_time
    assert run.data.params["train.epochs"] == "3" and run.data.params["train.seeds"] == "(1, 2)"
    assert len(run.data.params["note"]) == 6000 and len(run.data.params) == 153
    assert run.data.tags["dataset"] == "toy"
    assert history(uri, tracker.uid, "dev/RE_") == [(1, 0.5)]
    (_, first), (step, nan) = history(uri, tracker.uid, "loss")
    assert first == 2.0 and step == 2 and math.isnan(nan)
    assert history(uri, tracker.uid, "up") == [(2, sys.float_info.max)]
    client = store.connect(uri)
    assert [f.path for f in client.list_artifacts(run.info.run_id)] == ["model", "one.json"]
    assert [f.path for f in client.list_artifacts(run.info.run_id, "model/deep")] == ["model/deep/a.txt"]
    assert (Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts").is_dir()


def test_a_crash_sends_nothing_twice(uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = begin_run(tmp_path, uri=uri, experiment="crash", name="r", params={"lr": 0.1}, tags={"a": "1"})
    for step in range(3):
        first.metrics({"loss": step, "f1": step}, step)
    assert first.close()
    journal = tmp_path / "journal.jsonl"
    # Whole but for its line end: the worst kind of torn line.
    torn = json.dumps({"time": 1, "kind": "metrics", "step": 3, "values": {"loss": 99.0}})
    journal.write_bytes(journal.read_bytes() + torn.encode())
    (tmp_path / "journal.state.json").unlink()

    with caplog.at_level(logging.WARNING):
        second = begin_run(tmp_path, uri=uri, experiment="crash", name="r", params={"lr": 0.2}, tags={"a": "2"})
        for step in range(5):
            second.metrics({"loss": step, "f1": step}, step)
        assert second.close("FINISHED")
    assert "The parameter lr" in caplog.text
    assert second.uid == first.uid == read_uid(tmp_path)
    for key in ("loss", "f1"):
        assert history(uri, first.uid, key) == [(step, float(step)) for step in range(5)]
    client = store.connect(uri)
    runs = client.search_runs([client.get_experiment_by_name("crash").experiment_id])
    assert len(runs) == 1 and runs[0].data.params == {"lr": "0.1"} and runs[0].data.tags["a"] == "2"
    assert sum(event is None for event in lines(tmp_path)) == 1


def test_an_emptied_state_or_a_lost_run_is_sent_again(uri: str, tmp_path: Path) -> None:
    with begin_run(tmp_path, uri=uri, experiment="lost", name="r") as tracker:
        tracker.metrics({"loss": 1.0}, 1)
    state = json.loads((tmp_path / "journal.state.json").read_text())
    assert state["sent"] == (tmp_path / "journal.jsonl").stat().st_size
    # A run that the store does not know: found by its uid, and all is sent again.
    first_line = (tmp_path / "journal.jsonl").read_bytes().find(b"\n") + 1
    (tmp_path / "journal.state.json").write_text(json.dumps({**state, "run_id": "0" * 32, "sent": first_line}))
    assert replay(tmp_path, 30.0)
    assert history(uri, tracker.uid, "loss") == [(1, 1.0)]
    # A state that is ahead of the journal: the machine lost the journal's end.
    (tmp_path / "journal.state.json").write_text(json.dumps({**state, "sent": 10**6}))
    tracker.metrics({"loss": 2.0}, 2)
    assert tracker.close("FINISHED")
    assert history(uri, tracker.uid, "loss") == [(1, 1.0), (2, 2.0)]


def test_a_run_that_goes_on_after_its_end(uri: str, tmp_path: Path) -> None:
    begin_run(tmp_path, uri=uri, experiment="on", name="r").close("FAILED")
    tracker = begin_run(tmp_path, uri=uri, experiment="on", name="r")
    tracker.tags({"a": "b"})
    assert tracker.close()
    assert run_of(uri, tracker.uid).info.status == "FAILED"
    tracker.metrics({"loss": 1.0}, 1)  # kept in the journal, sent by the next close
    assert tracker.close()
    assert run_of(uri, tracker.uid).info.status == "RUNNING"
    assert tracker.close("FINISHED") and tracker.close("FINISHED")
    assert run_of(uri, tracker.uid).info.status == "FINISHED"
    assert [e["status"] for e in lines(tmp_path) if e["kind"] == "status"] == ["FAILED", "RUNNING", "FINISHED"]


def test_a_child_before_its_parent(uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # The parent's journal is there, but nobody could send it yet.
    parent = begin_run(tmp_path / "p", uri="http://user:secret@127.0.0.1:9", experiment="nest", name="p")
    child = begin_run(tmp_path / "c", uri=uri, experiment="nest", name="c", parent=parent.uid)
    with caplog.at_level(logging.WARNING):
        assert not child.close("FINISHED", timeout=1.0)
        assert not parent.close("FINISHED", timeout=1.0)
    assert f"tablert sync {tmp_path / 'c'}" in caplog.text
    assert caplog.text.count("cannot be used now") <= 1
    assert "secret" not in caplog.text + (tmp_path / "p" / "journal.jsonl").read_text()
    assert replay(tmp_path / "p", 30.0, uri=uri)
    assert replay(tmp_path / "c", 30.0)
    run = run_of(uri, child.uid)
    assert run.data.tags["mlflow.parentRunId"] == run_of(uri, parent.uid).info.run_id
    assert run.info.status == "FINISHED"


def test_what_mlflow_refuses_and_what_is_gone(uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = begin_run(tmp_path, uri=uri, experiment="odd", name="r")
    with caplog.at_level(logging.WARNING):
        tracker.artifact(tmp_path / "nowhere.txt")
        tracker.metrics({"NER+ micro F1 (%)": 1.0, "//a/../b": 2.0, "": 3.0}, 1)
        # Refused by MLflow for its name; written by hand, since metrics() would have changed it.
        with (tmp_path / "journal.jsonl").open("a") as file:
            file.write('{"time": 1, "kind": "metrics", "step": 1, "values": {"bad+": 1.0, "good": 1.0}}\n')
        tracker.metrics({"good": 2.0}, 2)
        assert tracker.close("FINISHED", timeout=30.0)
    assert "nowhere.txt is no longer there" in caplog.text
    data = run_of(uri, tracker.uid).data
    assert data.metrics.keys() == {"NER_ micro F1 ___", "a/b", "_", "good"}
    assert history(uri, tracker.uid, "good") == [(1, 1.0), (2, 2.0)]
    assert "MLflow refuses 'bad+'" in caplog.text


def test_replay_needs_a_journal(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no journal\.jsonl"):
        replay(tmp_path, 1.0)
    assert read_uid(tmp_path) is None


def test_register_and_download(uri: str, tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"weights")
    with begin_run(tmp_path / "run", uri=uri, experiment="registry", name="r") as tracker:
        tracker.artifact(tmp_path / "onnx", "export")
    assert tracker.uid is not None
    with pytest.raises(InputError, match="has no run"):
        register(uri, "tablert", "0" * 32, "export", timeout=1.0)
    for _ in range(2):  # a driver that is started again makes no second version
        assert register(uri, "tablert", tracker.uid, "export", "champion", {"f1": 0.5}, "The best.") == 1
    assert register(uri, "tablert", tracker.uid, "other") == 2
    version = store.connect(uri).get_model_version_by_alias("tablert", "champion")
    assert (version.version, version.tags, version.description) == (1, {"f1": "0.5"}, "The best.")
    for name, model in (("a", "models:/tablert@champion"), ("b", "models:/tablert/1")):
        out = download(uri, model, tmp_path / "out" / name)
        assert (out / "model.onnx").read_bytes() == b"weights"
        assert [p.name for p in out.iterdir()] == ["model.onnx"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a", "b"]
    for model in ("models:/nothing@champion", "models:/tablert@nobody", "models:/tablert/9", "tablert"):
        with pytest.raises(InputError, match=model):
            download(uri, model, tmp_path / "no", timeout=1.0)
    with pytest.raises(InputError, match=r"http://\*\*\*@127.0.0.1:9 cannot be used"):
        register("http://a:secret@127.0.0.1:9", "tablert", tracker.uid, "export", timeout=0.5)


def test_the_champion_moves_to_a_better_model_on_the_same_data_only(uri: str, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"w")
    same = ["data.hash", "overlap"]

    def trained(name: str, **tags: str) -> str | None:
        """Register a model with these tags; why it is not the champion."""
        with begin_run(tmp_path / name, uri=uri, experiment="champions", name=name) as tracker:
            tracker.artifact(tmp_path / "weights.bin", "model")
        assert tracker.uid is not None
        version = register(uri, "best", tracker.uid, "model", tags={"overlap": "error", **tags})
        return promote(uri, "best", version, "champion", "f1", same)

    def champion() -> int:
        return int(store.connect(uri).get_model_version_by_alias("best", "champion").version)

    assert trained("first", **{"data.hash": "a", "f1": "0.5000"}) is None and champion() == 1
    worse = trained("worse", **{"data.hash": "a", "f1": "0.4000"})
    assert worse == "@champion stays at version 1, whose f1 is 0.5000; this one's is 0.4000" and champion() == 1
    assert "0.5000; this one's is 0.5000" in str(trained("equal", **{"data.hash": "a", "f1": "0.5000"}))
    assert trained("better", **{"data.hash": "a", "f1": "0.6000"}) is None and champion() == 4
    other = str(trained("other", **{"data.hash": "b", "f1": "0.9000"}))
    assert "scored otherwise (data.hash a)" in other and "tracking.registered_model=NAME" in other and champion() == 4
    assert "f1 is 0.6000; this one's is nan" in str(trained("unknown", **{"data.hash": "a"}))
    assert promote(uri, "best", 4, "champion", "f1", same) is None, "it has the alias"


def test_data_sets_are_logged_once(uri: str, tmp_path: Path) -> None:
    for _ in range(2):  # a run that is gone on with
        tracker = begin_run(tmp_path / "run", uri=uri, experiment="data", name="r", tags={store.NOTE: "In words."})
        tracker.dataset("tiny train", "f" * 64, "training", {"sentences": 3})
        tracker.dataset("tiny dev", "e" * 64, "validation", {"sentences": 1})
        assert tracker.close("FINISHED", timeout=30.0)
    assert replay(tmp_path / "run", 30.0)
    run = run_of(uri, tracker.uid)
    found = {
        (each.dataset.name, each.dataset.digest, each.tags[0].value, each.dataset.profile)
        for each in run.inputs.dataset_inputs
    }
    assert len(run.inputs.dataset_inputs) == 2 and found == {
        ("tiny train", "f" * 36, "training", '{"sentences": 3}'),
        ("tiny dev", "e" * 36, "validation", '{"sentences": 1}'),
    }
    assert run.data.tags["mlflow.note.content"] == "In words."
    assert sum(event["kind"] == "dataset" for event in lines(tmp_path / "run")) == 2


def test_the_page_of_an_experiment(uri: str) -> None:
    page = experiment_page(uri, "paged")
    experiment = store.connect(uri).get_experiment_by_name("paged")
    assert page == f"#/experiments/{experiment.experiment_id}/runs"
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    with pytest.raises(InputError, match="cannot be used"):
        experiment_page("http://127.0.0.1:9", "paged")


def test_redact() -> None:
    assert redact("https://ann:pa@ss@host:5000/x") == "https://***@host:5000/x"
    assert redact("postgresql+psycopg://u:p@h/db?password=x&a=b") == "postgresql+psycopg://***@h/db?password=***&a=b"
    assert redact("sqlite:////tmp/a@b/mlflow.db") == "sqlite:////tmp/a@b/mlflow.db"


def test_null_tracker(tmp_path: Path) -> None:
    with NullTracker() as tracker:
        tracker.metrics({"a": 1.0}, 1)
        tracker.params({"a": 1})
        tracker.tags({"a": 1})
        tracker.artifact(tmp_path)
    assert tracker.uid is None and tracker.close("FAILED")
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_killed(
    server: tuple[str, Callable[[], None], Callable[[], None]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Worker and driver are two trackers on one folder; the server is killed while the first of them writes.
    uri, start, kill = server
    caplog.set_level(logging.WARNING)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(b"w" * 100_000)
    parent = begin_run(tmp_path / "p", uri=uri, experiment="server", name="parent")
    child = begin_run(tmp_path / "c", uri=uri, experiment="server", name="child", parent=parent.uid, params={"a": 1})
    for step in range(50):
        child.metrics({"loss": step / 2, "dev/f1": 1.0}, step)
    deadline = time.monotonic() + 60
    while not (tmp_path / "c" / "journal.state.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.metrics({"loss": math.nan}, 50)
    kill()

    before = time.monotonic()
    for step in range(51, 151):
        child.metrics({"loss": step / 2, "dev/f1": 1.0}, step)
    child.artifact(tmp_path / "model", "export")
    assert time.monotonic() - before < 1.0
    time.sleep(3)  # several tries
    assert 1 <= caplog.text.count("cannot be used now") <= 2  # an idle sender, as the parent's may be, sees nothing
    assert not child.close(timeout=0.5)  # the worker goes, the driver goes on

    driver = begin_run(tmp_path / "c", uri=uri, experiment="server", name="child", parent=parent.uid)
    start()
    assert driver.close("FINISHED", timeout=60.0) and parent.close("FINISHED", timeout=60.0)
    assert child.uid == driver.uid
    assert caplog.text.count("can be used again") >= 1
    loss = history(uri, child.uid, "loss")
    assert [step for step, _ in loss] == list(range(151)) and math.isnan(loss[50][1])
    assert all(value == step / 2 for step, value in loss if step != 50)
    assert [step for step, _ in history(uri, child.uid, "dev/f1")] == [s for s in range(151) if s != 50]
    run, above = run_of(uri, child.uid), run_of(uri, parent.uid)
    assert run.data.tags["mlflow.parentRunId"] == above.info.run_id
    assert run.info.status == above.info.status == "FINISHED" and run.data.params == {"a": "1"}
    assert len(store.connect(uri).search_runs([run.info.experiment_id])) == 2
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    assert register(uri, "tablert", child.uid or "", "export", "champion", {}, "") == 1
    out = download(uri, "models:/tablert@champion", tmp_path / "out")
    assert (out / "weights.bin").read_bytes() == b"w" * 100_000
