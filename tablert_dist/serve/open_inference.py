"""The Open Inference Protocol (version 2) over HTTP, which KServe, Triton and their clients speak: /v2."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI, Request, Response

from tablert_dist import __version__
from tablert_dist.errors import nearest
from tablert_dist.serve.body import Asked, RefusalError, answer, refused
from tablert_dist.serve.service import Model, Service
from tablert_dist.serve.tensors import HEADER, Inference, InferRequest, read, tensors, written
from tablert_dist.serve.work import answered, ready_model, state_of

PLATFORM = "onnx_onnxv1"
"""The protocol's word for a graph that ONNX Runtime runs."""
_SHOWN = 60
_MODEL = "/v2/models/{name}"
_VERSION = f"{_MODEL}/versions/{{version}}"
_BODY = {"required": True, "content": {"application/json": {"schema": InferRequest.model_json_schema()}}}
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is no request of the protocol, or names a tensor that the model has not."},
    401: {"description": "The server has a token, and the request has not."},
    404: {"description": "No such model or version."},
    413: {"description": "More, or longer, than one request may bring."},
    415: {"description": "The content type is neither application/json nor application/octet-stream."},
    422: {"description": "The model cannot read a text."},
    503: {"description": "The queue is full, or the server is starting or ending; see Retry-After."},
    504: {"description": "Not read within serve.deadline_seconds."},
}
_TEMPLATE = re.compile(r"/v2/models/[^/]+(/versions/[^/]+)?(/ready|/infer)?")
_FIXED = ("/v2", "/v2/health/live", "/v2/health/ready")


def template(path: str) -> str | None:
    """The path without the model's name and version, for the metrics; None where it is none of ours."""
    if path in _FIXED:
        return path
    found = _TEMPLATE.fullmatch(path)
    if found is None:
        return None
    return f"{_MODEL}{'/versions/{version}' if found[1] else ''}{found[2] or ''}"


def add_open_inference(app: FastAPI, service: Service) -> None:
    """Add the protocol's routes: the server's, the model's, and inference."""
    _add_server(app, service)
    _add_model(app, service)
    _add_infer(app, service)


def _add_server(app: FastAPI, service: Service) -> None:
    @app.get("/v2")
    @app.get("/v2/", include_in_schema=False)
    async def server() -> Response:
        """The server's name, version and extensions of the protocol."""
        return answer(200, {"name": "tablert_dist", "version": __version__, "extensions": ["binary_tensor_data"]})

    @app.get("/v2/health/live")
    async def live() -> Response:
        """200 while the process answers."""
        return answer(200, {"live": True})

    @app.get("/v2/health/ready")
    async def ready() -> Response:
        """200 when requests are taken; 503 before the model is loaded and while the server ends."""
        if not service.ready:
            return answer(503, {"error": state_of(service)}, {"Retry-After": "1"})
        return answer(200, {"live": True, "ready": True})


def _add_model(app: FastAPI, service: Service) -> None:
    @app.get(_MODEL, responses=_ERRORS)
    @app.get(_VERSION, responses=_ERRORS)
    async def model_metadata(name: str, version: str | None = None) -> Response:
        """The model's version, inputs and outputs."""
        try:
            model = _found(service, name, version)
        except RefusalError as refusal:
            return refused(refusal)
        return answer(200, {"name": name, "versions": [version_of(model)], "platform": PLATFORM, **tensors()})

    @app.get(f"{_MODEL}/ready", responses=_ERRORS)
    @app.get(f"{_VERSION}/ready", responses=_ERRORS)
    async def model_ready(name: str, version: str | None = None) -> Response:
        """200 when the model, of this version where one is given, takes requests."""
        try:
            _found(service, name, version)
        except RefusalError as refusal:
            return refused(refusal)
        return answer(200, {"name": name, "ready": True})


def _add_infer(app: FastAPI, service: Service) -> None:
    @app.post(f"{_MODEL}/infer", openapi_extra={"requestBody": _BODY}, responses=_ERRORS)
    @app.post(f"{_VERSION}/infer", openapi_extra={"requestBody": _BODY}, responses=_ERRORS)
    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        """Entities and relations of the BYTES tensor `text`: the output `triples` has a JSON document for each text."""
        inference: Inference

        def asked(body: bytes) -> Asked:
            nonlocal inference
            _found(service, name, version)
            inference = read(body, request.headers.get(HEADER), service.config.serve)
            return Asked("data", inference.texts)

        def shown(model: Model, results: list[Any]) -> Response:
            return written(inference, {"model_name": name, "model_version": version_of(model)}, results)

        return await answered(service, request, asked, shown)


def version_of(model: Model) -> str:
    """The model's version: its id in `/v1/schema`, which is another for another bundle."""
    return str(model.facts["model"]["id"])


def _found(service: Service, name: str, version: str | None) -> Model:
    """The model. Raises RefusalError: 404 where the name or the version is not ours, 503 before it is loaded."""
    ours = service.config.serve.name
    if name != ours:
        hint = nearest(name, [ours]) or f"; this server has '{ours}' (serve.name)"
        raise RefusalError(404, f"there is no model '{_short(name)}'{hint}")
    model = ready_model(service)
    if version is not None and version != version_of(model):
        raise RefusalError(404, f"model '{ours}' has no version '{_short(version)}'; it has '{version_of(model)}'")
    return model


def _short(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:_SHOWN]
