"""The client against the real server: the predictor's own results, retries, refusals, a secret that is not told."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tablert_dist import AsyncClient, Client, Extraction
from tablert_dist.errors import InputError, RunError
from tablert_dist.inference.predictor import Predictor
from tablert_dist.serve.client.answers import encoded, parts
from tests.support.ray_head import free_ports
from tests.support.serving import TEXTS, Server, assert_same, running, wait_for

TOKEN = "a-token-of-enough-characters"
WORDS = [["Ada", "works", "at", "Acme"], [], ["Oslo", "near", "Tromsø", "."]]


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Server]:
    settings = (f"serve.token={TOKEN}", "serve.max_texts=3", "serve.max_words=100", "serve.max_body=4000")
    with running(bundle, *settings, "predict.on_overflow=error") as server:
        server.client.headers["authorization"] = f"Bearer {TOKEN}"
        yield server


@pytest.fixture(scope="module")
def predictor(bundle: Path) -> Predictor:
    return Predictor.load(bundle)


def same(found: list[Extraction], expected: list[Extraction]) -> None:
    """Equal but for probabilities, which batches may move a little."""
    assert_same([one.to_json() for one in found], [one.to_json() for one in expected])
    for one, other in zip(found, expected, strict=True):
        assert (one.sentence, one.offsets, one.read) == (other.sentence, other.offsets, other.read)
        assert one.symmetric == other.symmetric and one.triples() == other.triples()


def requests(server: Server, status: int) -> float:
    return server.metric(f'tablert_requests_total{{path="/v1/extract",status="{status}"}}')


def test_results_are_the_predictor_s_however_many_requests_they_need(server: Server, predictor: Predictor) -> None:
    expected = predictor.predict(TEXTS)
    assert any(one.relations for one in expected) and expected[0].symmetric == {"near"}
    with Client(server.url, TOKEN) as client:
        assert client.ready() and client.schema()["limits"]["texts"] == 3
        before = requests(server, 200)
        same(client.extract(TEXTS), expected)
        assert requests(server, 200) - before == 2, "five texts, three in a request"
        one = client.extract(TEXTS[0])
        same([one], expected[:1])
        same(client.extract_words(WORDS), predictor.predict_words(WORDS))
        assert client.extract([]) == client.extract_words([]) == [] and client.extract("").entities == ()
    with pytest.raises(InputError, match="this client is closed"):
        client.extract("Ada")


def test_the_same_for_asyncio(server: Server, predictor: Predictor) -> None:
    async def ask() -> None:
        async with AsyncClient(server.url, TOKEN) as client:
            assert await client.ready() and (await client.schema())["entity_types"] == ["Per", "Org", "Loc"]
            texts, words, one = await asyncio.gather(
                client.extract(TEXTS), client.extract_words(WORDS), client.extract(TEXTS[2])
            )
            with pytest.raises(InputError, match=r"texts\[4\]: a sentence of 70 words"):
                await client.extract([*TEXTS[:4], "at " * 70])
        same(texts, predictor.predict(TEXTS))
        same(words, predictor.predict_words(WORDS))
        same([one], predictor.predict(TEXTS[2:3]))

    asyncio.run(ask())


def test_what_is_too_much_together_is_sent_in_smaller_parts(server: Server, predictor: Predictor) -> None:
    texts = [f"Ada near Oslo {'at ' * n}." for n in (35, 40, 3, 38, 41, 45)]
    with Client(server.url, TOKEN) as client:
        before = requests(server, 413)
        same(client.extract(texts), predictor.predict(texts))
        assert requests(server, 413) > before, "no request of three of them is within serve.max_words"
        with pytest.raises(InputError, match=r"texts\[1\] is too large: .*more than 100 words"):
            client.extract(["Ada", "at " * 101])
        with pytest.raises(InputError, match=r"text is too large: .*over 4000 bytes \(serve.max_body\)"):
            client.extract("a" * 4000)


def test_parts_keep_order_and_limits() -> None:
    items = [bytes(n) for n in (1, 1, 1, 1, 500, 100, 100, 2000, 1)]
    found = list(parts(items, 3, 600))
    assert [item for part in found for item in part.items] == items
    assert [(part.start, len(part.items)) for part in found] == [(0, 3), (3, 2), (5, 2), (7, 1), (8, 1)]
    assert all(len(part.items) == 1 or len(part.body("texts")) <= 600 for part in found)
    assert [part.start for half in found[:1] for part in half.halves()] == [0, 1] and list(parts([], 3, 600)) == []


def test_a_refusal_is_the_server_s_sentence_about_the_caller_s_list(server: Server) -> None:
    with Client(server.url, TOKEN) as client:
        with pytest.raises(InputError, match=r"texts\[4\]: a sentence of 70 words is .* limit of 64"):
            client.extract([*TEXTS[:4], "at " * 70])
        with pytest.raises(InputError, match=r": text: a sentence of 70 words"):
            client.extract("at " * 70)
        with pytest.raises(InputError, match=r"words\[3\]\[1\] is an empty word"):
            client.extract_words([*WORDS, ["Ada", ""]])
        for texts, sentence in ((["a", 3], r"texts\[1\]: expected a text, found int"), (["\ud800"], "surrogate pair")):
            with pytest.raises(InputError, match=sentence):
                client.extract(texts)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=r"words\[0\]: expected a list of words, found str"):
            client.extract_words(["Ada"])
    assert encoded("texts", ['"ø']) == ['"\\"ø"'.encode()]


def test_a_token_is_sent_and_never_told(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TABLERT_TOKEN", TOKEN)
    shown = []
    with Client(server.url) as client:
        assert client.extract("Ada").text == "Ada"
        shown += [repr(client), str(vars(client))]
    for token, sentence in ((f"{TOKEN}x", "another token than the one that was given"), ("", "asks for a token")):
        with Client(server.url, token) as client, pytest.raises(InputError, match=sentence) as error:
            client.extract("Ada")
        shown.append("".join(traceback.format_exception(error.value)))
    for bad in (f"{TOKEN} x", f"{TOKEN}\u00e9", f"{TOKEN}\nx"):
        with pytest.raises(InputError, match="no white space") as error:
            Client(server.url, bad)
        shown.append(str(error.value))
    assert "extract" in caplog.text and TOKEN not in caplog.text + "".join(shown)


def test_a_busy_server_is_asked_again_and_a_dead_one_is_told(bundle: Path, tmp_path: Path) -> None:
    class KilledError(Exception):
        """Leaves `running` without its check that the server ends well."""

    settings = ("serve.queue=1", "serve.max_wait_ms=1500")
    with suppress(KilledError), running(bundle, *settings) as server, ThreadPoolExecutor(1) as pool:
        with Client(server.url) as client, Client(server.url, deadline=0.5) as hasty:
            hasty.schema()
            waiting = pool.submit(server.post, {"text": "Ada"})
            wait_for(lambda: server.metric("tablert_queue_texts") == 1)
            with pytest.raises(RunError, match=r"the queue is full; .*deadline = 0.5 s"):
                hasty.extract("Bo")
            assert client.extract("Bo").text == "Bo"
            assert waiting.result().status_code == 200 and requests(server, 503) >= 2
            with (
                Client(server.url, timeout=0.3) as impatient,
                pytest.raises(RunError, match=r"not answered in time \(timeout = 0.3 s"),
            ):
                impatient.extract("Bo")
            wait_for(lambda: server.metric("tablert_queue_texts") == 0)
            cut = pool.submit(client.extract, "Ada")
            wait_for(lambda: server.metric("tablert_queue_texts") == 1)
            os.kill(server.process.pid, signal.SIGKILL)
            with pytest.raises(RunError, match=r"cannot be reached \(.*refused\); is tablert serve .*\(4 attempts\)"):
                cut.result()
            assert not client.ready()
        raise KilledError


def test_nobody_there_and_somebody_else(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    began = time.monotonic()
    with Client(f"http://127.0.0.1:{port}", retries=1) as client:
        with pytest.raises(RunError, match=r"is tablert serve running there\? \(2 attempts\)"):
            client.extract("Ada")
        assert time.monotonic() - began < 5 and not client.ready()

    class Files(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Files(*a, directory=str(tmp_path))) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with Client(f"http://127.0.0.1:{other.server_address[1]}") as client:
            with pytest.raises(InputError, match="answered 404"):
                client.extract("Ada")
            (tmp_path / "v1").mkdir()
            for text in ("<html>", "{}", "[3]"):
                (tmp_path / "v1" / "schema").write_text(text)
                with pytest.raises(RunError, match="is not answered as tablert serve does"):
                    client.extract("Ada")
        other.shutdown()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"url": "localhost:8000"}, "no address of a web server"),
        ({"url": "http://"}, "no address of a web server"),
        ({"url": "http://me:secret-word@localhost:8000"}, "an address with a login"),
        ({"timeout": 0}, "timeout = 0: seconds above 0"),
        ({"deadline": float("nan")}, "deadline = nan"),
        ({"retries": -1}, "retries = -1"),
    ],
)
def test_what_no_client_is_made_of(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as error:
        Client(**arguments)  # type: ignore[arg-type]
    assert "secret-word" not in str(error.value)
