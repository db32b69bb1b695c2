"""The HTTP interface: routes, statuses, and the page with a text box. The same under uvicorn and under Ray Serve."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from tablert_dist import __version__
from tablert_dist.config import Config
from tablert_dist.errors import InputError
from tablert_dist.serve.access import LABEL_STUDIO, Access, allowed_hosts, token_of
from tablert_dist.serve.body import Asked, ExtractRequest, RefusalError, answer, most_texts, parse
from tablert_dist.serve.label_studio import add_label_studio
from tablert_dist.serve.metrics import Watched
from tablert_dist.serve.open_inference import add_open_inference, template
from tablert_dist.serve.page import drawn, text_box
from tablert_dist.serve.service import Model, Service
from tablert_dist.serve.work import answered, state_of

log = logging.getLogger(__name__)
PATHS = frozenset(
    {
        "/",
        "/v1/extract",
        "/v1/page",
        "/v1/schema",
        "/healthz",
        "/readyz",
        "/metrics",
        "/docs",
        "/openapi.json",
        "/webhook",
    }
)
_LIMITS = ("characters", "words", "cells", "body")
_REQUEST_BODY = {"required": True, "content": {"application/json": {"schema": ExtractRequest.model_json_schema()}}}
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is not JSON or not UTF-8, or the Host header names another server."},
    401: {"description": "The server has a token, and the request has not."},
    413: {"description": "The body is over serve.max_body, or its texts over serve.max_words or serve.max_cells."},
    415: {"description": "The content type is not application/json, or the body is compressed."},
    422: {"description": "The JSON is not a request, or the model cannot read a text."},
    503: {"description": "The queue is full, or the server is starting or ending; see Retry-After."},
    504: {"description": "Not read within serve.deadline_seconds."},
}


def make_app(bundle: Path, config: Config, batching: bool = True) -> FastAPI:
    """The service of a bundle. It loads in the background once the app starts: `/readyz` says when it is there."""
    return app_of(Service(bundle, config, batching))


def app_of(service: Service) -> FastAPI:
    """The app of a service whose model may be loaded already."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    # As FastAPI, but /docs loads its scripts from this server and not from the network.
    app: FastAPI = FastAPIOffline(
        title="TablERT-CNN", version=__version__, lifespan=lifespan, redoc_url=None,
        description="Entities and relations of a text. Every error is {\"error\": \"one sentence\"}.",
    )  # fmt: skip
    app.state.service = service
    # The last one added is the first one asked.
    if origins := service.config.serve.origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    token = token_of(service.config.serve)
    app.add_middleware(Access, token=token, hosts=allowed_hosts(service.config.serve, token))
    app.add_middleware(Watched, metrics=service.metrics, label=_label)
    app.add_exception_handler(HTTPException, _plain)
    _add_extract(app, service)
    add_open_inference(app, service)
    if service.config.serve.label_studio:
        add_label_studio(app, service)
    _add_states(app, service)
    return app


def _label(path: str) -> str:
    """Only known paths: a label for whatever a client types would grow without end."""
    return path if path in PATHS or path in LABEL_STUDIO else template(path) or "other"


def _add_extract(app: FastAPI, service: Service) -> None:
    config = service.config.serve

    def read(body: bytes) -> Asked:
        return parse(body, config)

    @app.post("/v1/extract", openapi_extra={"requestBody": _REQUEST_BODY}, responses=_ERRORS)
    async def extract_route(request: Request) -> Response:
        """Entities and relations of `text`, `texts` or `words`: `{"results": [...]}`, one for each text."""
        return await answered(service, request, read, lambda model, results: answer(200, {"results": results}))

    @app.post("/v1/page", openapi_extra={"requestBody": _REQUEST_BODY}, responses=_ERRORS, response_class=HTMLResponse)
    async def page(request: Request) -> Response:
        """The same as a page: entities, arcs and probabilities, in one file that loads nothing."""

        def shown(model: Model, results: list[Any]) -> Response:
            try:
                return HTMLResponse(drawn(results, model.facts))
            except InputError as error:
                raise RefusalError(422, f"the result cannot be drawn: {error}; /v1/extract gives it as JSON") from None

        return await answered(service, request, read, shown)

    @app.get("/v1/schema")
    async def schema() -> Response:
        """Entity and relation types, which of them have no direction, facts about the model, what one request may bring."""
        if service.model is None:
            return _not_ready(service)
        limits = {"texts": most_texts(config), **{key: getattr(config, f"max_{key}") for key in _LIMITS}}
        return answer(200, {**service.model.facts, "limits": limits})


def _add_states(app: FastAPI, service: Service) -> None:
    page = text_box()

    @app.get("/healthz")
    async def healthz() -> Response:
        """200 while the process answers."""
        return answer(200, {"status": "alive"})

    @app.get("/readyz")
    async def readyz() -> Response:
        """200 when requests are taken; 503 before the model is loaded and while the server ends."""
        return answer(200, {"status": "ready"}) if service.ready else _not_ready(service)

    if not service.config.serve.metrics_port:

        @app.get("/metrics")
        async def metrics() -> Response:
            """Prometheus' text."""
            return Response(await service.metrics_page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def root() -> Response:
        return HTMLResponse(page)


async def _plain(request: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    assert isinstance(error, HTTPException)
    sentence = f"{request.method} {request.url.path[:100]}: {error.detail}; see /docs for what there is"
    return answer(error.status_code, {"error": sentence}, dict(error.headers or {}))


def _not_ready(service: Service) -> Response:
    return answer(503, {"error": state_of(service)}, {"Retry-After": "1"})
