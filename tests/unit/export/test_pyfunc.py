"""The registered model as MLflow's users expect it: load_model by alias, and `mlflow models serve`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from export.pyfunc import save_pyfunc
from tablert_dist.inference.predictor import Predictor
from tablert_dist.tracking import begin_run, download, register, store
from tests.support.serving import make_bundle, renamed, running, wait_for

TEXTS = ["Ada works at Acme .", "", "Bo near Oslo"]


@pytest.mark.slow
def test_a_registered_model_loads_and_serves(
    tiny_encoder: str, tmp_path: Path, server: tuple[str, Callable[[], None], Callable[[], None]]
) -> None:
    uri, _, _ = server
    bundle = make_bundle(tiny_encoder, tmp_path)
    expected = [found.to_json() for found in Predictor.load(bundle).predict(TEXTS)]
    assert expected[0]["entities"], "the comparison is about something"
    folder = save_pyfunc(bundle, tmp_path / "model")
    assert str(tmp_path) not in (folder / "MLmodel").read_text(), "no path leaves the machine"
    assert not list(folder.rglob("*.pkl"))
    tracker = begin_run(tmp_path / "run", uri=uri, experiment="pyfunc", name="r")
    tracker.artifact(folder, "model")
    assert tracker.close("FINISHED", timeout=60)
    register(uri, "tiny", tracker.uid, "model", alias="champion")
    # By alias, with nothing of the registry left in this process afterwards.
    code = (
        f"import json, mlflow; mlflow.set_tracking_uri({uri!r}); "
        f"model = mlflow.pyfunc.load_model('models:/tiny@champion'); "
        f"print(json.dumps(model.predict({{'text': {TEXTS!r}}})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_same(json.loads(done.stdout.splitlines()[-1]), expected)
    local = download(uri, "models:/tiny@champion", tmp_path / "back")
    assert_same([f.to_json() for f in Predictor.load(local / "artifacts" / "bundle").predict(TEXTS)], expected)
    assert_same(served(uri, tmp_path), expected)


@pytest.mark.slow
def test_the_server_follows_an_alias_without_dropping_a_request(
    tiny_encoder: str, tmp_path: Path, server: tuple[str, Callable[[], None], Callable[[], None]]
) -> None:
    uri, start, kill = server
    bundle = make_bundle(tiny_encoder, tmp_path)
    versions = {}
    for name, folder in {"old": bundle, "new": renamed(bundle, tmp_path / "new" / "bundle")}.items():
        tracker = begin_run(tmp_path / f"run-{name}", uri=uri, experiment="follow", name=name)
        tracker.artifact(save_pyfunc(folder, tmp_path / f"model-{name}"), "model")
        assert tracker.close("FINISHED", timeout=60)
        versions[name] = register(uri, "followed", tracker.uid, "model", alias="champion" if name == "old" else None)
    client = store.connect(uri)
    settings = (f"tracking.uri={uri}", "serve.poll_seconds=0.3")
    with running("models:/followed@champion", *settings, timeout=120) as service, ThreadPoolExecutor(3) as pool:
        done = threading.Event()

        def ask() -> list[str]:
            seen = []
            while not done.is_set():
                answer = service.post({"text": "Ada near Oslo"})
                assert answer.status_code == 200, answer.text
                seen.append("new" if answer.json()["results"][0]["entities"][0]["type"].startswith("New") else "old")
            return seen

        asking = [pool.submit(ask) for _ in range(2)]
        client.set_registered_model_alias("followed", "champion", str(versions["new"]))
        wait_for(lambda: service.client.get("/v1/schema").json()["entity_types"][0] == "NewPer", 60)
        kill()
        time.sleep(1)
        assert service.post({"text": "Ada"}).status_code == 200, "it goes on while MLflow is away"
        start()
        done.set()
        for seen in (one.result() for one in asking):
            assert seen == sorted(seen, reverse=True) and "old" in seen, "old, then new, and never back"


def test_the_column_that_is_named_is_read(tiny_encoder: str, tmp_path: Path) -> None:
    import pandas as pd
    from mlflow import pyfunc
    from mlflow.exceptions import MlflowException

    model = pyfunc.load_model(str(save_pyfunc(make_bundle(tiny_encoder, tmp_path), tmp_path / "model")))
    assert [column.name for column in model.metadata.signature.inputs] == ["text"]
    for given in ({"title": ["Bo"] * 3, "text": TEXTS}, {"text": TEXTS, "title": ["Bo"] * 3}, {"text": TEXTS}):
        assert [found["text"] for found in model.predict(pd.DataFrame(given))] == TEXTS
    assert [found["text"] for found in model.predict({"text": TEXTS})] == TEXTS
    for wrong in ({"title": TEXTS}, {"text": [None]}, {"text": [3]}, {"text": ["a", float("nan")]}):
        with pytest.raises((MlflowException, ValueError), match="text"):
            model.predict(pd.DataFrame(wrong))


def ask(port: int, body: object) -> httpx.Response:
    return httpx.post(f"http://127.0.0.1:{port}/invocations", json=body, timeout=30)


def served(uri: str, tmp_path: Path) -> list[dict[str, object]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", "models:/tiny@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": uri,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    with (tmp_path / "serve.log").open("w") as log:
        child = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                answer = ask(port, {"inputs": TEXTS})
                break
            except httpx.HTTPError:
                assert child.poll() is None and time.monotonic() < deadline, (tmp_path / "serve.log").read_text()
                time.sleep(0.3)
        assert answer.status_code == 200, answer.text
        title_too = {"columns": ["title", "text"], "data": [["Bo", text] for text in TEXTS]}
        for body in ({"dataframe_split": title_too}, {"inputs": {"text": TEXTS}}, {"instances": TEXTS}):
            assert ask(port, body).json() == answer.json(), body
        for wrong in (
            {"inputs": [None]},
            {"inputs": [3]},
            {"dataframe_records": [{"title": "Bo"}]},
            {"inputs": {"text": [3]}},
        ):
            refused = ask(port, wrong)
            assert refused.status_code == 400 and "predictions" not in refused.json(), (wrong, refused.text)
        return list(answer.json()["predictions"])
    finally:
        os.killpg(child.pid, 9)
        child.wait()


def assert_same(found: list[dict[str, object]], expected: list[dict[str, object]]) -> None:
    def spans(results: list[dict[str, object]]) -> list[object]:
        return [[(e["start"], e["end"], e["type"]) for e in r["entities"]] for r in results]  # type: ignore[attr-defined]

    assert [r["text"] for r in found] == TEXTS and spans(found) == spans(expected)
    first, other = found[0]["entities"][0], expected[0]["entities"][0]  # type: ignore[index]
    assert first["probability"] == pytest.approx(other["probability"], abs=1e-4)
