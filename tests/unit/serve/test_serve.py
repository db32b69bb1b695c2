"""The real server process: its answers against the offline ones, its refusals, overload, drain, reload."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tablert_dist.config import load_config
from tablert_dist.inference.predictor import Predictor
from tablert_dist.serve.local import bind
from tests.support.lines import told
from tests.support.serving import TEN_MB, TEXTS, Server, assert_same, renamed, running, wait_for

WORDS = [["Ada", "works", "at", "Acme"], [], ["Oslo", "near", "Tromsø", "."]]
BAD = {
    "not JSON": (b'{"text": ', 400),
    "empty body": (b"", 400),
    "not UTF-8": (b'{"text": "\xff"}', 400),
    "half a surrogate": (b'{"text": "\\ud800"}', 400),
    "deep nesting": (b"[" * 100_000, 400),
    "a list": (b'["Ada"]', 422),
    "no field": (b"{}", 422),
    "two fields": (b'{"text": "Ada", "words": []}', 422),
    "unknown field": (b'{"txt": "Ada"}', 422),
    "number for text": (b'{"text": 3}', 422),
    "null for text": (b'{"text": null}', 422),
    "string for texts": (b'{"texts": "Ada"}', 422),
    "numbers in texts": (b'{"texts": ["Ada", 1]}', 422),
    "words not in lists": (b'{"words": ["Ada"]}', 422),
    "empty word": (b'{"words": [["Ada", ""]]}', 422),
    "words that do not join": ('{"words": [["Ada\u00a0Bo", "works"]]}'.encode(), 422),
    "too many texts": (json.dumps({"texts": ["Ada"] * 65}).encode(), 422),
    "too long a text": (json.dumps({"text": "a" * 200_001}).encode(), 422),
    "over the encoder": (json.dumps({"texts": ["Ada", "at " * 70]}).encode(), 422),
    "10 MB": (TEN_MB, 413),
}


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Server]:
    with running(bundle, "predict.on_overflow=error") as server:
        yield server


def test_each_form_is_answered_as_offline(server: Server, bundle: Path) -> None:
    predictor = Predictor.load(bundle)
    by_texts = [found.to_json() for found in predictor.predict(TEXTS)]
    by_words = [found.to_json() for found in predictor.predict_words(WORDS)]
    assert any(tree["relations"] for tree in by_texts) and any(tree["entities"] for tree in by_words)
    for text, expected in zip(TEXTS, by_texts, strict=True):
        found = server.post({"text": text})
        assert found.status_code == 200, found.text
        assert_same(found.json()["results"], [expected])
    assert_same(server.post({"texts": TEXTS}).json()["results"], by_texts)
    assert_same(server.post({"words": WORDS}).json()["results"], by_words)
    assert server.post({"texts": []}).json() == {"results": []}
    with ThreadPoolExecutor(16) as pool:
        mixed = list(pool.map(lambda i: server.post({"text": TEXTS[i % 5]} if i % 3 else {"words": WORDS}), range(120)))
    for i, found in enumerate(mixed):
        assert_same(found.json()["results"], [by_texts[i % 5]] if i % 3 else by_words)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_gets_one_sentence_and_the_server_goes_on(server: Server, name: str) -> None:
    body, status = BAD[name]
    found = server.client.post("/v1/extract", content=body)
    assert found.status_code == status
    tree = found.json()
    assert list(tree) == ["error"] and "\n" not in tree["error"] and len(tree["error"]) < 300
    if name == "over the encoder":
        assert tree["error"].startswith("texts[1]: ") and "limit of 64" in tree["error"]
    assert server.post({"text": "Ada"}).status_code == 200


def test_a_bad_text_fails_alone(server: Server) -> None:
    def ask(i: int) -> int:
        return server.post({"text": "at " * 70 if i % 4 == 0 else "Ada near Oslo"}).status_code

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(64))) == [422 if i % 4 == 0 else 200 for i in range(64)]


def test_what_else_there_is(server: Server) -> None:
    get = server.client.get
    assert get("/healthz").status_code == get("/readyz").status_code == 200
    schema = get("/v1/schema").json()
    assert schema["entity_types"] == ["Per", "Org", "Loc"] and schema["symmetric"] == ["near"]
    assert schema["model"]["opset"] == 20 and schema["model"]["id"]
    page = get("/")
    assert page.headers["content-type"].startswith("text/html") and "://" not in page.text.replace("http://www.w3", "")
    docs = get("/docs").text
    parts = re.findall(r'(?:src|href)="([^"]+)"', docs)
    assert parts and all(part.startswith("/static-offline-docs/") for part in parts), "nothing from the network"
    assert all(get(part).status_code == 200 for part in parts)
    body = get("/openapi.json").json()["paths"]["/v1/extract"]["post"]["requestBody"]
    properties = body["content"]["application/json"]["schema"]["properties"]
    assert set(properties) == {"text", "texts", "words", "offsets"}
    for wrong in (get("/nothing"), get("/v1/extract"), server.client.post("/v1/reload")):
        assert wrong.status_code in (404, 405) and list(wrong.json()) == ["error"]


def test_the_result_as_a_page(server: Server, bundle: Path) -> None:
    text = 'Ada near Oslo <script>alert("x")</script>'
    page = server.client.post("/v1/page", json={"text": text})
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert "<script>alert" not in page.text and "Content-Security-Policy" in page.text
    for entity in Predictor.load(bundle)(text).entities:
        assert f"{entity.probability:.2f}" in page.text
    refused = server.client.post("/v1/page", json={"txt": "Ada"})
    assert refused.status_code == 422 and "unknown field 'txt'" in refused.json()["error"]


def test_metrics_count(server: Server) -> None:
    good, texts = 'tablert_requests_total{path="/v1/extract",status="200"}', "tablert_texts_total"
    before = server.metric(good), server.metric(texts), server.metric("tablert_batch_sentences_count")
    server.post({"texts": ["Ada", "Bo", "Oslo"]})
    server.client.post("/v1/extract", content=b"{")
    after = server.metric(good), server.metric(texts), server.metric("tablert_batch_sentences_count")
    assert (after[0] - before[0], after[1] - before[1]) == (1, 3) and after[2] > before[2]
    assert server.metric('tablert_requests_total{path="/v1/extract",status="400"}') >= 1
    assert server.metric('tablert_request_seconds_count{path="/v1/extract"}') > after[0]
    assert server.metric("tablert_queue_texts") == 0


def test_a_full_queue_is_said_and_passes_and_who_left_is_forgotten(bundle: Path) -> None:
    with running(bundle, "serve.queue=2", "serve.max_wait_ms=1500") as server, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(server.post, {"text": "Ada"}) for _ in range(2)]
        wait_for(lambda: server.metric("tablert_queue_texts") == 2)
        refused = server.post({"text": "Bo"})
        assert refused.status_code == 503 and int(refused.headers["Retry-After"]) >= 1
        assert "queue is full" in refused.json()["error"]
        assert [w.result().status_code for w in waiting] == [200, 200]
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.url}/v1/extract", json={"text": "Ada"}, timeout=0.3, trust_env=False)
        wait_for(lambda: server.metric("tablert_queue_texts") == 0, 1)
        assert server.post({"text": "Bo"}).status_code == 200
        assert server.post({"texts": ["Bo"] * 3}).status_code == 422


def test_sigterm_answers_what_is_in_flight(bundle: Path) -> None:
    with running(bundle, "serve.max_wait_ms=800") as server, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.post, {"text": "Ada"})
        wait_for(lambda: server.metric("tablert_queue_texts") == 1)
        server.process.terminate()
        assert waiting.result().status_code == 200
        assert server.process.wait(10) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url, trust_env=False)
    assert told("".join(server.log)) == []


def test_a_new_bundle_is_swapped_in_under_load_and_a_bad_one_is_not(bundle: Path, tmp_path: Path) -> None:
    other, broken, link = renamed(bundle, tmp_path / "new"), tmp_path / "broken", tmp_path / "link"
    shutil.copytree(bundle, broken)
    (broken / "table.onnx").write_bytes((broken / "table.onnx").read_bytes()[:-9])
    expected = {
        name: [found.to_json() for found in Predictor.load(folder).predict(["Ada near Oslo"])]
        for name, folder in {"old": bundle, "new": other}.items()
    }
    assert expected["old"][0]["entities"] and expected["old"] != expected["new"]

    def point(folder: Path) -> None:
        (tmp_path / "next").symlink_to(folder)
        (tmp_path / "next").replace(link)

    point(bundle)
    with running(link) as server, ThreadPoolExecutor(5) as pool:
        done = threading.Event()

        def ask() -> list[str]:
            seen = []
            while not done.is_set():
                found = server.post({"text": "Ada near Oslo"})
                assert found.status_code == 200, found.text
                name = "new" if found.json()["results"][0]["entities"][0]["type"].startswith("New") else "old"
                assert_same(found.json()["results"], expected[name])
                seen.append(name)
            return seen

        def count(outcome: str) -> float:
            return server.metric(f'tablert_reloads_total{{outcome="{outcome}"}}')

        asking = [pool.submit(ask) for _ in range(4)]
        point(broken)
        wait_for(lambda: count("refused") == 1)
        assert server.client.get("/v1/schema").json()["entity_types"][0] == "Per"
        point(other)
        wait_for(lambda: count("swapped") == 1)
        os.kill(server.process.pid, signal.SIGHUP)
        wait_for(lambda: count("swapped") == 2)
        done.set()
        for seen in (one.result() for one in asking):
            assert seen == sorted(seen, reverse=True) and {"old", "new"} == set(seen), "old, then new, and never back"
        assert server.client.get("/v1/schema").json()["entity_types"][0] == "NewPer"
    assert any("was altered" in line for line in server.log)


def test_answers_do_not_wait_for_the_clients_acknowledgement() -> None:
    """asyncio sets TCP_NODELAY where a socket names TCP; an accepted one inherits that from the listener."""
    with bind(load_config(None, {"serve.port": 0}).serve) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.proto == socket.IPPROTO_TCP


def test_what_cannot_be_served_is_exit_code_2_and_one_sentence(bundle: Path, tmp_path: Path) -> None:
    def refused(folder: Path, *settings: str) -> str:
        words = [sys.executable, "-m", "tablert_dist.cli", "serve", "--bundle", str(folder)]
        done = subprocess.run([*words, *settings], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2 and done.stdout == "" and len(told(done.stderr)) == 1, done.stderr
        return done.stderr

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"serve.port = {port} cannot be had" in refused(bundle, "--set", f"serve.port={port}")
    assert "there is no model" in refused(tmp_path / "nothing", "--set", "serve.port=0")
    assert "is neither a bundle" in refused(tmp_path, "--set", "serve.port=0")
