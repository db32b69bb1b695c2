"""Ray Serve: a killed replica, and the manifest for Kubernetes against Ray's own schema."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tablert_dist.errors import InputError
from tablert_dist.inference.predictor import Predictor
from tablert_dist.serve.ray_app import application
from tests.support import ROOT
from tests.support.serving import TEN_MB, TEXTS, assert_same, make_bundle, running, wait_for

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def bundle(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("ray.serve", reason="Ray Serve is not whole: the [serve] extra", exc_type=ImportError)
    return make_bundle(tiny_encoder, tmp_path_factory.mktemp("served"))


def test_a_killed_replica_is_replaced_and_no_answer_is_wrong(bundle: Path) -> None:
    settings = ("serve.replicas=2", "serve.max_replicas=2")
    expected = [found.to_json() for found in Predictor.load(bundle).predict(TEXTS)]
    with running(bundle, *settings, options=("--ray",), timeout=120) as server, ThreadPoolExecutor(4) as pool:
        done = threading.Event()

        def replicas() -> set[int]:
            found = set()
            for one in psutil.Process(server.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):  # it ended between the listing and the question
                    if one.name().startswith("ray::ServeReplica"):
                        found.add(one.pid)
            return found

        def ask(text: int) -> Counter[int]:
            seen: Counter[int] = Counter()
            while not done.is_set():
                found = server.post({"text": TEXTS[text]})
                seen[found.status_code] += 1
                if found.status_code == 200:
                    assert_same(found.json()["results"], [expected[text]])
            return seen

        asking = [pool.submit(ask, i) for i in range(4)]
        try:
            wait_for(lambda: len(replicas()) == 2)
            victim = min(replicas())
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: len(replicas() - {victim}) == 2, 60)
        finally:
            done.set()  # without it a failure here would wait for the askers until the test's own limit
        seen = sum((one.result() for one in asking), Counter[int]())
        # A request that was in the killed process is lost, and the proxy says so.
        assert set(seen) <= {200, 500, 503} and seen[200] > 0.9 * seen.total(), seen
        assert [server.post({"text": text}).status_code for text in TEXTS * 20] == [200] * 20 * len(TEXTS)
        assert server.client.post("/v1/extract", content=TEN_MB).status_code == 413
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["Ada"]}
        assert server.client.post("/v2/models/tablert/infer", json={"inputs": [tensor]}).status_code == 200
        count = "tablert_texts_total"
        before = server.metric(count)
        assert [server.post({"text": "Ada"}).status_code for _ in range(30)] == [200] * 30
        assert [server.metric(count) - before for _ in range(5)] == [30] * 5, "of both replicas, whichever is asked"


def test_sigterm_under_load_answers_503_until_the_port_is_closed(bundle: Path) -> None:
    """Never 404, which a client would take for its own mistake."""
    seen: Counter[int] = Counter()
    with running(bundle, "serve.replicas=1", options=("--ray",), timeout=120) as server, ThreadPoolExecutor(4) as pool:

        def ask() -> None:
            with contextlib.suppress(httpx.TransportError):
                while True:
                    seen[server.post({"text": "Ada near Oslo"}).status_code] += 1

        asking = [pool.submit(ask) for _ in range(4)]
        wait_for(lambda: seen[200] > 20)
        server.process.terminate()
        for one in asking:
            one.result()
        assert server.process.wait(60) == 0
    assert set(seen) == {200, 503}, seen


def test_the_manifest_is_one(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Serve configuration in it, validated by Ray, and its arguments given to the builder that it names."""
    import yaml
    from ray.serve.schema import ServeDeploySchema

    tree = yaml.safe_load((ROOT / "deploy" / "rayservice.yaml").read_text())
    assert (tree["apiVersion"], tree["kind"]) == ("ray.io/v1", "RayService")
    (one,) = ServeDeploySchema.parse_obj(yaml.safe_load(tree["spec"]["serveConfigV2"])).applications
    assert one.import_path == f"{application.__module__}:{application.__name__}"
    monkeypatch.delenv("TABLERT_TOKEN", raising=False)
    with pytest.raises(InputError, match="lets other machines in, and there is no token"):
        application({**one.args, "bundle": str(bundle)})
    monkeypatch.setenv("TABLERT_TOKEN", "x" * 32)
    built = application({**one.args, "bundle": str(bundle)})
    options = built._bound_deployment
    assert options.ray_actor_options["num_cpus"] == 2 and options.max_ongoing_requests >= 2 * 64
    with pytest.raises(InputError, match="bundle: FOLDER"):
        application({**one.args, "bundel": "x"})
    with pytest.raises(InputError, match="would leave GPUs idle"):
        application({"bundle": str(bundle), "set": ["serve.gpus_per_replica=0.25"]})
    with pytest.raises(InputError, match="is below"):
        application({"bundle": str(bundle), "set": ["serve.replicas=5"]})
