"""The Open Inference Protocol: answers by its rules, to a client of somebody else, with the limits of /v1/extract."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tablert_dist.inference.predictor import Predictor
from tests.support.open_inference import ErrorAnswer, InferAnswer, ModelMetadata, ServerMetadata
from tests.support.serving import TEXTS, Server, assert_same, renamed, running, wait_for

TOKEN = "a-token-of-enough-characters"
BEARER = {"authorization": f"Bearer {TOKEN}"}
INFER = "/v2/models/people/infer"
HEADER = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Server]:
    settings = ("serve.name=people", f"serve.token={TOKEN}", "serve.max_texts=8", "serve.max_characters=1000")
    with running(bundle, *settings, "serve.max_words=200", "predict.on_overflow=error") as server:
        yield server


@pytest.fixture(scope="module")
def expected(bundle: Path) -> list[dict[str, Any]]:
    return [found.to_json() for found in Predictor.load(bundle).predict(TEXTS)]


def tensor(texts: list[str] = TEXTS, **other: object) -> dict[str, Any]:
    return {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts} | other


def asked(**other: object) -> dict[str, Any]:
    return {"inputs": [tensor()]} | other


def post(server: Server, tree: object, path: str = INFER, **headers: str) -> httpx.Response:
    return server.client.post(path, json=tree, headers=BEARER | headers)


def test_the_server_and_the_model_describe_themselves(server: Server) -> None:
    get = server.client.get
    for path in ("/v2", "/v2/"):
        assert ServerMetadata.model_validate_json(get(path).content).extensions == ["binary_tensor_data"]
    assert get("/v2/health/live").json() == {"live": True}
    assert get("/v2/health/ready").json() == {"live": True, "ready": True}
    found = ModelMetadata.model_validate_json(get("/v2/models/people", headers=BEARER).content)
    (version,) = found.versions
    assert version == get("/v1/schema", headers=BEARER).json()["model"]["id"]
    assert [(t.name, t.datatype, t.shape) for t in found.inputs] == [("text", "BYTES", [-1])]
    assert get(f"/v2/models/people/versions/{version}", headers=BEARER).json() == found.model_dump()
    for path in ("/v2/models/people/ready", f"/v2/models/people/versions/{version}/ready"):
        assert get(path, headers=BEARER).json() == {"name": "people", "ready": True}
    for path in ("/v2/models/people", "/v2/models/people/ready", "/v2/models/other"):
        refused = get(path)
        assert refused.status_code == 401 and ErrorAnswer.model_validate_json(refused.content)
    assert server.client.post(INFER, json=asked()).status_code == 401


def test_json_in_and_out(server: Server, expected: list[dict[str, Any]]) -> None:
    version = server.client.get("/v1/schema", headers=BEARER).json()["model"]["id"]
    for path in (INFER, f"/v2/models/people/versions/{version}/infer"):
        found = InferAnswer.model_validate_json(post(server, asked(id="42", parameters={"x": 1}), path).content)
        assert (found.model_name, found.model_version, found.id) == ("people", version, "42")
        triples, complete = found.outputs
        assert (triples.name, complete.name) == ("triples", "complete") and complete.data == [True] * len(TEXTS)
        assert_same([json.loads(document) for document in triples.data or []], expected)
    one = post(server, asked(outputs=[{"name": "complete"}])).json()
    assert [output["name"] for output in one["outputs"]] == ["complete"] and "id" not in one
    assert post(server, asked(inputs=[tensor([])], outputs=None)).json()["outputs"][0]["data"] == []


@pytest.mark.parametrize("as_bytes", [True, False])
@pytest.mark.parametrize("wanted", [None, {"triples": True}, {"triples": False}, {"complete": True, "triples": False}])
def test_triton_s_client_is_answered(
    server: Server, expected: list[dict[str, Any]], as_bytes: bool, wanted: dict[str, bool] | None
) -> None:
    with triton.InferenceServerClient(server.url.split("//")[1].rstrip("/")) as client:
        given = triton.InferInput("text", [len(TEXTS)], "BYTES")
        given.set_data_from_numpy(np.array(TEXTS, dtype=object), binary_data=as_bytes)
        outputs = wanted and [triton.InferRequestedOutput(name, binary_data=raw) for name, raw in wanted.items()]
        found = client.infer(
            "people", [given], outputs=outputs, request_id="r7", headers=dict(BEARER), priority=2, parameters={"a": 1}
        )
    assert found.get_response()["id"] == "r7"
    assert_same([json.loads(document) for document in found.as_numpy("triples")], expected)
    if wanted is None or "complete" in wanted:
        assert found.as_numpy("complete").tolist() == [True] * len(TEXTS)
    else:
        assert found.as_numpy("complete") is None


def test_triton_s_client_asks_about_the_model_and_is_told_what_is_wrong(server: Server) -> None:
    with triton.InferenceServerClient(server.url.split("//")[1].rstrip("/")) as client:
        assert client.is_server_live() and client.is_server_ready() and not client.is_model_ready("people")
        (version,) = client.get_model_metadata("people", headers=dict(BEARER))["versions"]
        assert client.is_model_ready("people", version, headers=dict(BEARER))
        assert not client.is_model_ready("people", "1", headers=dict(BEARER))
        given = triton.InferInput("text", [1], "BYTES")
        given.set_data_from_numpy(np.array(["Ada"], dtype=object))
        for call, status, sentence in (
            ({"model_name": "peoples"}, "404", "there is no model 'peoples'; did you mean 'people'?"),
            ({"model_name": "people", "model_version": "1"}, "404", f"it has '{version}'"),
            ({"model_name": "people", "request_compression_algorithm": "gzip"}, "415", "the body is compressed"),
        ):
            with pytest.raises(InferenceServerException, match=re.escape(sentence)) as error:
                client.infer(inputs=[given], headers=dict(BEARER), **call)
            assert error.value.status() == status


WRONG: dict[str, tuple[object, int, str]] = {
    "no inputs": ({}, 400, "inputs is missing"),
    "a list": ([], 400, "the body: "),
    "id that is a number": (asked(id=3), 400, "id: "),
    "another tensor": (asked(inputs=[tensor(name="txt")]), 400, "found txt; did you mean 'text'?"),
    "two tensors": (asked(inputs=[tensor(), tensor()]), 400, "expected one tensor 'text', found text, text"),
    "no tensor": (asked(inputs=[]), 400, "found none"),
    "other datatype": (asked(inputs=[tensor(datatype="FP32")]), 400, "the datatype FP32; it must be BYTES"),
    "two axes": (asked(inputs=[tensor(shape=[5, 1])]), 400, "the shape [5, 1]"),
    "shape of others": (asked(inputs=[tensor(shape=[4])]), 400, "has 5 elements and the shape [4], not [5]"),
    "a number": (asked(inputs=[tensor(["a"], data=["a", 1], shape=[2])]), 400, "data[1] of tensor 'text' must be a"),
    "no data": (asked(inputs=[tensor(data=None)]), 400, "has neither data nor binary_data_size"),
    "unknown output": (asked(outputs=[{"name": "triple"}]), 400, "no output 'triple'; did you mean 'triples'?"),
    "shared memory": (
        asked(outputs=[{"name": "triples", "parameters": {"shared_memory_region": "r"}}]),
        400,
        "this server has no shared_memory_region",
    ),
    "bytes without a header": (
        asked(inputs=[tensor(data=None, parameters={"binary_data_size": 3})]),
        400,
        f"no header {HEADER}",
    ),
    "too many texts": (asked(inputs=[tensor(["Ada"] * 9)]), 413, "data has 9 texts; this server takes at most 8"),
    "too long a text": (asked(inputs=[tensor(["a" * 1001])]), 413, "data[0] has 1001 characters"),
    "too many words": (asked(inputs=[tensor(["a " * 150] * 2)]), 413, "more than 200 words"),
    "over the encoder": (asked(inputs=[tensor(["Ada", "at " * 70])]), 422, "data[1]: "),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_one_sentence(server: Server, name: str) -> None:
    tree, status, sentence = WRONG[name]
    found = post(server, tree)
    assert found.status_code == status, found.text
    told = ErrorAnswer.model_validate_json(found.content).error
    assert sentence in told and "\n" not in told and len(told) < 300


def packed(*texts: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


@pytest.mark.parametrize(
    ("behind", "size", "header", "sentence"),
    [
        (packed(b"Ada", b"Bo"), 13, 0, ""),
        (packed(b"Ada", b"Bo")[:-1], 12, 0, "data[1] of tensor 'text' ends after its 12 bytes"),
        (packed(b"Ada") + b"\x01\x00", 9, 0, "data[1] of tensor 'text' ends after its 9 bytes"),
        (packed(b"Ada", b"\xff"), 12, 0, "data[1] is not UTF-8: byte 0"),
        (packed(b"Ada", b"Bo"), 12, 0, "binary_data_size is 12, and 13 bytes come behind"),
        (packed(b"Ada", b"Bo"), True, 0, "binary_data_size is True"),
        (packed(b"Ada"), 7, 0, "has 1 elements and the shape [2], not [1]"),
        (packed(b"Ada", b"Bo"), 13, 1000, "it must be the length of the JSON"),
        (packed(b"Ada", b"Bo"), 13, -5, "the body is not JSON"),
    ],
)
def test_bytes_behind_the_json(server: Server, behind: bytes, size: object, header: int, sentence: str) -> None:
    tree = asked(inputs=[tensor(["", ""], data=None, parameters={"binary_data_size": size})])
    head = json.dumps(tree).encode()
    headers = BEARER | {"content-type": "application/octet-stream", HEADER: str(len(head) + header)}
    found = server.client.post(INFER, content=head + behind, headers=headers)
    if not sentence:
        assert [json.loads(text)["text"] for text in found.json()["outputs"][0]["data"]] == ["Ada", "Bo"]
        return
    assert found.status_code == 400 and sentence in ErrorAnswer.model_validate_json(found.content).error


def test_a_page_of_another_site_gets_no_answer(server: Server) -> None:
    """A script may send a body without a type and need no leave for it; its browser names the site."""
    body = json.dumps(asked()).encode()

    def ask(**headers: str) -> int:
        return httpx.post(f"{server.url}{INFER}", content=body, headers=BEARER | headers, trust_env=False).status_code

    assert ask() == ask(**{"content-type": "application/json", "origin": "https://example.org"}) == 200
    assert ask(origin="https://example.org") == ask(origin="null") == ask(**{"content-type": "text/plain"}) == 415


def test_metrics_have_no_label_of_a_client_s(server: Server) -> None:
    for path in ("/v2/models/made-up-name", "/v2/models/x/versions/y/ready", "/v2/models/x/y", "/v2/made-up"):
        assert server.client.get(path, headers=BEARER).status_code == 404
    text = server.client.get("/metrics", headers=BEARER).text
    assert 'path="/v2/models/{name}",status="404"' in text and 'path="other",status="404"' in text
    assert 'path="/v2/models/{name}/infer",status="200"' in text
    assert "made-up" not in text and "people" not in text


def test_queue_deadline_leaving_and_a_new_version(bundle: Path, tmp_path: Path) -> None:
    other, link = renamed(bundle, tmp_path / "new"), tmp_path / "link"
    link.symlink_to(bundle)
    one = {"inputs": [tensor(["Ada"])]}
    path = "/v2/models/tablert"
    settings = ("serve.queue=2", "serve.max_wait_ms=1500", "serve.deadline_seconds=1")
    with running(link, *settings) as server, ThreadPoolExecutor(2) as pool:

        def infer(at: str = path) -> httpx.Response:
            return server.client.post(f"{at}/infer", json=one)

        waiting = [pool.submit(infer) for _ in range(2)]
        wait_for(lambda: server.metric("tablert_queue_texts") == 2)
        full = infer()
        assert full.status_code == 503 and int(full.headers["Retry-After"]) >= 1
        assert "queue is full" in ErrorAnswer.model_validate_json(full.content).error
        assert [w.result().status_code for w in waiting] == [504, 504]
        wait_for(lambda: server.metric("tablert_queue_texts") == 0)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.url}{path}/infer", json=one, timeout=0.3, trust_env=False)
        wait_for(lambda: server.metric("tablert_queue_texts") == 0, 0.6)
        (before,) = server.client.get(path).json()["versions"]
        (tmp_path / "next").symlink_to(other)
        (tmp_path / "next").replace(link)
        wait_for(lambda: server.client.get(path).json()["versions"] != [before])
        gone = infer(f"{path}/versions/{before}")
        assert gone.status_code == 404 and f"has no version '{before}'" in gone.json()["error"]
