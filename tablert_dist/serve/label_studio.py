"""An ML backend of Label Studio: its health, its set-up, and predictions for the tasks that it sends."""

from __future__ import annotations

import json
import logging
from collections import Counter
from typing import Any

from fastapi import FastAPI, Request, Response

from tablert_dist.data.formats.labelstudio_write import results_of, score_of
from tablert_dist.errors import counted
from tablert_dist.inference.extraction import Extraction
from tablert_dist.serve.body import Asked, RefusalError, answer, check_item, check_utf8, most_texts, refused
from tablert_dist.serve.label_config import LabelConfig, read_config
from tablert_dist.serve.open_inference import version_of
from tablert_dist.serve.service import Model, Service
from tablert_dist.serve.work import answered, ready_model, with_body

log = logging.getLogger(__name__)
TURN = 8
"""Tasks that are read at once: Label Studio sends as many as it likes, and cannot send fewer when it is told to."""
_TASKS = "tasks"


def add_label_studio(app: FastAPI, service: Service) -> None:
    """Add the routes that Label Studio asks of a backend."""
    _add_states(app, service)

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        """A prediction for each of `tasks`, in their order; `left_out` counts what `label_config` has no label for."""
        config: LabelConfig

        def asked(body: bytes) -> Asked:
            nonlocal config
            tree = _read(body)
            config = read_config(tree.get("label_config"))
            tasks = tree.get(_TASKS)
            if not isinstance(tasks, list):
                raise RefusalError(422, f"{_TASKS} must be a list of tasks")
            texts = [config.text_of(task, f"{_TASKS}[{index}]") for index, task in enumerate(tasks)]
            for index, text in enumerate(texts):
                check_item(text, f"{_TASKS}[{index}]", service.config.serve)
            turn = min(TURN, most_texts(service.config.serve))
            return Asked(_TASKS, texts, lambda found: _prediction(found, config), turn)

        def shown(model: Model, results: list[Any]) -> Response:
            left_out: Counter[str] = Counter()
            for _, missing in results:
                left_out.update(missing)
            if left_out:
                told = ", ".join(f"{name} ({counted(n, 'time')})" for name, n in sorted(left_out.items()))
                log.warning("the labelling interface has no label for: %s; left out of %d tasks", told, len(results))
            version = _version(service, model)
            predictions = [{"model_version": version, **prediction} for prediction, _ in results]
            return answer(200, {"results": predictions, "model_version": version, "left_out": left_out})

        return await answered(service, request, asked, shown)


def _add_states(app: FastAPI, service: Service) -> None:
    @app.get("/health")
    async def health() -> Response:
        """200 when tasks are taken."""
        try:
            ready_model(service)
        except RefusalError as refusal:
            return refused(refusal)
        return answer(200, {"status": "UP", "model_class": service.config.serve.name})

    @app.post("/webhook")
    async def webhook() -> Response:
        """Label Studio (1.23) tells of every annotation here, without a token. Nothing is read: this server does not train."""
        return answer(200, {"status": "ignored"})

    @app.post("/setup")
    async def setup(request: Request) -> Response:
        """The model's version, and the types of the model that the project's interface has no label for."""

        async def act(body: bytes) -> Response:
            config, model = read_config(_read(body).get("schema")), ready_model(service)
            schema = model.predictor.tags.schema
            missing = [name for name in schema.entity_types if name not in config.labels]
            missing += [name for name in schema.relation_types if name not in config.relations]
            if missing:
                log.warning("the labelling interface has no label for: %s; it is left out", ", ".join(missing))
            return answer(200, {"model_version": _version(service, model), "without_label": missing})

        return await with_body(service, request, act)


def _version(service: Service, model: Model) -> str:
    return f"{service.config.serve.name}-{version_of(model)}"


def _read(body: bytes) -> dict[str, Any]:
    check_utf8(body)
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusalError(400, f"the body is not JSON: {error}") from None
    if not isinstance(tree, dict):
        raise RefusalError(422, "the body must be a JSON object, as Label Studio sends it")
    return tree


def _prediction(found: Extraction, config: LabelConfig) -> tuple[dict[str, Any], dict[str, int]]:
    """A prediction under the interface's names, and what it has no label for."""
    sentence, left_out = config.known(found)
    results = results_of(sentence, found.text, found.offsets)
    for result in results:
        if result["type"] == "relation":
            continue
        label = config.labels[result["value"]["labels"][0]]
        result["from_name"], result["to_name"] = label.control, config.name
        result["value"]["labels"] = [label.name]
    return {**score_of(sentence), "result": results}, left_out
