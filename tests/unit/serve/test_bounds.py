"""What one client may take from the others: words, table cells, time, connections, room in the log."""

from __future__ import annotations

import json
import resource
import socket
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.serving import Server, running, wait_for

DOTS = "." * 200_000


def test_a_request_over_the_budget_is_refused_with_the_numbers(bundle: Path) -> None:
    with running(bundle) as server:
        for body in ({"text": DOTS}, {"texts": [DOTS[:60_000]] * 2}, {"words": [["."] * 60_000] * 2}):
            found = server.post(body)
            assert found.status_code == 413 and "more than 100000 words" in found.json()["error"]
    with running(bundle, "serve.max_cells=5000") as server:
        assert server.post({"text": "Ada near Oslo . " * 100}).status_code == 200
        found = server.post({"text": "Ada " * 100})
        assert found.status_code == 413
        assert found.json()["error"].startswith("100 words in 3 sentences and windows make ")
        assert "at most 5000 in one request (serve.max_cells)" in found.json()["error"]


def test_a_deadline_ends_the_work(bundle: Path) -> None:
    """A request of many windows: 504 in time, and nothing of it stays in the queue."""
    with running(bundle, "serve.deadline_seconds=0.3", "serve.max_cells=1000000000") as server:
        found = server.post({"text": DOTS[:60_000]})
        assert found.status_code == 504 and "not read within 0.3 s" in found.json()["error"]
        assert server.metric("tablert_queue_texts") == 0
        wait_for(lambda: server.post({"text": "Ada"}).status_code == 200)


def test_small_requests_are_answered_beside_a_huge_one_that_its_client_then_leaves(bundle: Path) -> None:
    with running(bundle, "serve.max_cells=1000000000", "serve.deadline_seconds=600") as server:

        def small() -> float:
            began = time.perf_counter()
            assert server.post({"text": "Ada near Oslo"}).status_code == 200
            return time.perf_counter() - began

        small()
        with httpx.Client(trust_env=False) as client, ThreadPoolExecutor(1) as pool:
            huge = pool.submit(client.post, f"{server.url}/v1/extract", json={"text": DOTS[:99_000]}, timeout=2.0)
            wait_for(lambda: server.metric("tablert_queue_texts") == 1)
            beside = [small() for _ in range(20)]
            assert server.metric("tablert_queue_texts") == 1, "it is still being read"
            with pytest.raises(httpx.ReadTimeout):
                huge.result()
        print("beside:", statistics.median(beside))
        wait_for(lambda: server.metric("tablert_queue_texts") == 0)
        small()


def test_sigterm_does_not_wait_for_a_huge_request(bundle: Path) -> None:
    """The second signal ends it at once; whoever waits gets 503 or a cut connection, and the process ends."""
    with running(bundle, "serve.max_cells=1000000000", "serve.deadline_seconds=600") as server:
        answers: list[object] = []

        def ask() -> None:
            try:
                answers.append(
                    httpx.post(f"{server.url}/v1/extract", json={"text": DOTS[:99_000]}, timeout=60).status_code
                )
            except httpx.HTTPError as error:
                answers.append(type(error).__name__)

        asking = threading.Thread(target=ask)
        asking.start()
        wait_for(lambda: server.metric("tablert_queue_texts") == 1)
        server.process.terminate()
        time.sleep(0.3)
        server.process.terminate()
        assert server.process.wait(20) == 0
        asking.join(20)
        assert answers and answers[0] != 200


def open_silent(server: Server, count: int) -> list[socket.socket]:
    address = (server.client.base_url.host, server.client.base_url.port or 80)
    return [socket.create_connection(address, timeout=10) for _ in range(count)]


def test_silent_connections_neither_stop_the_server_nor_fill_its_log(bundle: Path) -> None:
    """With 128 descriptors and 300 connections that say nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with running(bundle, "serve.connections=40", descriptors=128) as server:
        silent = open_silent(server, 300)
        try:
            for _ in range(3):
                assert httpx.get(f"{server.url}/healthz", timeout=10, trust_env=False).status_code == 200
                assert httpx.post(f"{server.url}/v1/extract", json={"text": "Ada"}, trust_env=False).status_code == 200
        finally:
            for one in silent:
                one.close()
    assert 0 < len(server.log) < 20 and any("makes room" in line for line in server.log)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


def test_a_slow_head_is_cut_off_and_a_fast_one_is_not(bundle: Path) -> None:
    with running(bundle, "serve.head_seconds=0.5") as server:
        silent, dribbling = open_silent(server, 2)
        dribbling.sendall(b"POST /v1/extract HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        for one in (silent, dribbling):
            assert one.recv(100).startswith(b"HTTP/1.1 408 ") and one.recv(100) == b""
            one.close()
        # A second request on a kept connection is held to it as well.
        (kept,) = open_silent(server, 1)
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = b""
        while not answer.endswith(b'{"status":"alive"}'):
            answer += kept.recv(1000)
        kept.sendall(b"GET /heal")
        assert kept.recv(1000).startswith(b"HTTP/1.1 408 ")
        kept.close()
        assert server.post({"text": "Ada"}).status_code == 200


def test_nonsense_does_not_fill_the_log(bundle: Path) -> None:
    with running(bundle) as server:
        for _ in range(40):
            (one,) = open_silent(server, 1)
            one.sendall(b"nonsense\r\n\r\n")
            assert one.recv(100).startswith(b"HTTP/1.1 400 ")
            one.close()
        found = httpx.post(f"{server.url}/v1/extract", content=json.dumps({"text": "Ada"}), trust_env=False)
        assert found.status_code in {200, 415}
    assert len(server.log) <= 6
