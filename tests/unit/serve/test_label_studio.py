"""A backend of Label Studio: the requests are those that Label Studio 1.23.2 has sent, with other texts."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tablert_dist.inference.extraction import Extraction
from tablert_dist.inference.predictor import Predictor
from tests.support.serving import TEXTS, Server, running

TOKEN = "a-token-of-enough-characters"
CONFIG = (
    '<View><Labels name="ner" toName="doc"><Label value="Per"/><Label value="Loc" alias="Place"/></Labels>'
    '<Text name="doc" value="$body"/><Relations><Relation value="near"/></Relations></View>'
)
NAMES = {"Per": "Per", "Loc": "Place"}
TEXTS_SENT = [*TEXTS, "Oslo near Tromsø . Bo works at Acme .", "Ada", "Bo near the harbour"]


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Server]:
    settings = (f"serve.token={TOKEN}", "serve.max_texts=3", "serve.max_characters=1000", "predict.on_overflow=error")
    with running(bundle, *settings, options=("--label-studio",)) as server:
        server.client.headers["authorization"] = basic(TOKEN)
        yield server


def basic(token: str, user: str = "x") -> str:
    return f"Basic {base64.b64encode(f'{user}:{token}'.encode()).decode()}"


def predict_request(texts: list[Any], config: Any = CONFIG) -> dict[str, Any]:
    rest = {"meta": {}, "is_labeled": False, "overlap": 1, "project": 1, "annotations": [], "predictions": []}
    tasks = [{"id": n, "data": {"body": text}, **rest} for n, text in enumerate(texts, 1)]
    params = {"login": None, "password": None, "context": None}
    return {"tasks": tasks, "project": "1.1795846235", "label_config": config, "params": params}


def setup_request(config: Any = CONFIG) -> dict[str, Any]:
    access = {"hostname": "http://localhost:8080", "access_token": "0123456789abcdef" * 2, "extra_params": None}
    return {"project": "1.1795846235", "schema": config, **access}


def check(prediction: dict[str, Any], found: Extraction, left_out: Counter[str]) -> None:
    """Against what the predictor has found, and count what the interface has no label for."""
    regions = [one for one in prediction["result"] if one["type"] == "labels"]
    kept = [entity for entity in found.entities if entity.type in NAMES]
    assert [(r["value"]["start"], r["value"]["end"], r["value"]["labels"]) for r in regions] == [
        (entity.start, entity.end, [NAMES[entity.type]]) for entity in kept
    ]
    for region, entity in zip(regions, kept, strict=True):
        assert (region["from_name"], region["to_name"]) == ("ner", "doc") and region["value"]["text"] == entity.text
        assert region["score"] == pytest.approx(entity.probability, abs=1e-4)
    by_id = {region["id"]: entity for region, entity in zip(regions, kept, strict=True)}
    arrows = [one for one in prediction["result"] if one["type"] == "relation"]
    drawn = [r for r in found.relations if r.type == "near" and {r.head.type, r.tail.type} <= set(NAMES)]
    assert [(by_id[a["from_id"]], by_id[a["to_id"]], a["labels"]) for a in arrows] == [
        (r.head, r.tail, [r.type]) for r in drawn
    ]
    sure = [item.probability for item in (*kept, *drawn) if item.probability is not None]
    assert prediction.get("score") == (pytest.approx(min(sure), abs=1e-4) if sure else None)
    left_out.update(entity.type for entity in found.entities if entity not in kept)
    left_out.update(relation.type for relation in found.relations if relation not in drawn)


def test_a_prediction_for_each_task_however_many_there_are(server: Server, bundle: Path) -> None:
    version = f"tablert-{server.client.get('/v1/schema', headers=bearer()).json()['model']['id']}"
    health, setup = server.client.get("/health"), server.client.post("/setup", json=setup_request())
    assert health.json() == {"status": "UP", "model_class": "tablert"}
    assert setup.json() == {"model_version": version, "without_label": ["Org", "works"]}
    found = server.client.post("/predict", json=predict_request(TEXTS_SENT)).json()
    left_out: Counter[str] = Counter()
    expected = Predictor.load(bundle).predict(TEXTS_SENT)
    assert len(found["results"]) == len(TEXTS_SENT) > 2 * 3, "more than two turns of serve.max_texts"
    for prediction, extraction in zip(found["results"], expected, strict=True):
        assert prediction["model_version"] == found["model_version"] == version
        check(prediction, extraction, left_out)
    assert found["left_out"] == left_out and left_out["works"] and any(one["result"] for one in found["results"])
    assert server.client.post("/predict", json=predict_request([])).json()["results"] == []
    assert any("no label for: Org, works" in line for line in server.log)
    assert "0123456789abcdef" not in "".join(server.log), "Label Studio's own token"


def bearer() -> dict[str, str]:
    return {"authorization": f"Bearer {TOKEN}"}


def test_the_token_is_the_password(server: Server) -> None:
    def ask(authorization: str) -> int:
        headers = {"authorization": authorization}
        return httpx.get(f"{server.url}/health", headers=headers, trust_env=False).status_code

    assert ask(basic(TOKEN, "someone")) == ask(bearer()["authorization"]) == 200
    for wrong in (basic(f"{TOKEN}x"), basic("", TOKEN), "Basic !", "Basic", TOKEN, "Basic /w=="):
        assert ask(wrong) == 401, wrong
    for path in ("/predict", "/setup"):
        assert httpx.post(f"{server.url}{path}", json={}, trust_env=False).status_code == 401
    for path in ("/v1/schema", "/metrics"):
        assert server.client.get(path).status_code == 401, "elsewhere a bearer token is asked for"
    assert httpx.get(f"{server.url}/healthz", trust_env=False).status_code == 200
    told = httpx.post(f"{server.url}/webhook", json={"action": "ANNOTATION_CREATED"}, trust_env=False)
    assert told.json() == {"status": "ignored"}


@pytest.mark.parametrize(
    ("tree", "status", "sentence"),
    [
        ([], 422, "the body must be a JSON object"),
        ({}, 400, "the label config must be a string"),
        (predict_request(["Ada"], "<View>"), 400, "the label config is not XML"),
        (predict_request(["Ada"], '<!DOCTYPE a [<!ENTITY b "c">]><a/>'), 400, "a document type or an entity"),
        (predict_request(["Ada"], '<View><Text name="t" value="$t"/></View>'), 400, "no <Labels> of a <Text>"),
        (predict_request(["Ada"], CONFIG.replace("$body", "body")), 400, '<Text name="doc"> must have a value like'),
        (predict_request(["Ada"], CONFIG.replace("$body", "$text")), 422, "tasks[0]: data.text must be a string"),
        (predict_request(["Ada", 3]), 422, "tasks[1]: data.body must be a string"),
        ({"tasks": {}, "label_config": CONFIG}, 422, "tasks must be a list"),
        (predict_request(["Ada", "a" * 1001]), 422, "tasks[1] has 1001 characters"),
        (predict_request(["Ada", "Bo", "Ada", "Bo", "at " * 70]), 422, "tasks[4]: a sentence of 70 words"),
    ],
)
def test_a_wrong_request_is_one_sentence(server: Server, tree: object, status: int, sentence: str) -> None:
    found = server.client.post("/predict", json=tree)
    assert found.status_code == status and sentence in found.json()["error"], found.text
    if status == 400:
        config = tree["label_config"] if isinstance(tree, dict) and tree else None
        assert server.client.post("/setup", json=setup_request(config)).json() == found.json()


def test_only_where_it_is_asked_for(bundle: Path) -> None:
    with running(bundle) as server:
        assert server.client.get("/health").status_code == 404
        assert server.client.post("/predict", json=predict_request(["Ada"])).status_code == 404
