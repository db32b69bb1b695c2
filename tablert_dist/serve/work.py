"""A request's way through the model: its budget, its pieces through the queue, its results."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from tablert_dist.config import ServeConfig
from tablert_dist.errors import InputError
from tablert_dist.inference.extraction import Extraction
from tablert_dist.inference.pieces import Plan
from tablert_dist.inference.predictor import Predictor
from tablert_dist.serve.batcher import ClosingError, QueueFullError, RefusedError
from tablert_dist.serve.body import Asked, Item, RefusalError, read_body, refused
from tablert_dist.serve.service import Model, Service

INLINE = 10_000
"""Characters of a request that are cut into pieces at once; more are cut in a thread, so that nobody waits for them."""
_GONE = 499
"""Nobody reads this status: the client went away."""
_WORD = re.compile(r"\w+|[^\w\s]")
Show = Callable[[Model, list[Any]], Response]
"""Makes the answer of the model that has read the texts, and of what `Asked.of` has made of each."""


async def with_body(service: Service, request: Request, act: Callable[[bytes], Awaitable[Response]]) -> Response:
    """Read the body and answer with what `act` makes of it, or with a refusal's sentence."""
    held = 0
    try:
        body = await read_body(request, service.config.serve.max_body, service.held)
        held = len(body)
        return await act(body)
    except RefusalError as refusal:
        return refused(refusal)
    except ClientDisconnect:
        return Response(status_code=_GONE)
    finally:
        service.held.bytes -= held


async def answered(service: Service, request: Request, read: Callable[[bytes], Asked], show: Show) -> Response:
    """Read the body, extract, and answer with what `show` makes of the results, or with a sentence."""

    async def act(body: bytes) -> Response:
        asked = read(body)
        # Nothing is awaited since `read`: a version that it has looked up is the one that answers.
        model = ready_model(service)
        results: list[Any] = []
        for turn in asked.turns():
            results += await extract(service, model, request, turn)
        return show(model, results)

    return await with_body(service, request, act)


def ready_model(service: Service) -> Model:
    """The model. Raises RefusalError 503 where no requests are taken."""
    if service.model is None or not service.ready:
        raise RefusalError(503, state_of(service), {"Retry-After": "1"})
    return service.model


async def extract(service: Service, model: Model, request: Request, asked: Asked) -> list[Any]:
    """The results, unless the client leaves, the deadline passes or the server ends before: then nothing of the
    request stays in the queue, and RefusalError says so (ClientDisconnect for a client that left)."""
    config = service.config.serve
    work = asyncio.ensure_future(_results(service, model, asked))
    gone = asyncio.ensure_future(_disconnected(request))
    given_up = asyncio.ensure_future(service.given_up.wait())
    try:
        await asyncio.wait({work, gone, given_up}, timeout=config.deadline_seconds, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        if gone.done():
            raise ClientDisconnect
        if given_up.done():
            raise RefusalError(503, state_of(service), {"Retry-After": "1"})
        raise RefusalError(
            504,
            f"not read within {config.deadline_seconds:g} s (serve.deadline_seconds); send less text in one request, or later",
        )
    except QueueFullError as full:
        raise RefusalError(503, str(full), {"Retry-After": str(full.retry_after)}) from None
    except ClosingError:
        raise RefusalError(503, state_of(service), {"Retry-After": "1"}) from None
    finally:
        for task in (work, gone, given_up):
            task.cancel()


def state_of(service: Service) -> str:
    """Why it takes no requests."""
    return "the server is ending; try again" if service.draining else "the model is being loaded; try again"


async def _results(service: Service, model: Model, asked: Asked) -> list[Any]:
    batcher, name, items = service.batcher, asked.name, asked.items
    assert batcher is not None, "the service is ready"
    with batcher.room(len(items)):
        _check_words(name, items, service.config.serve)
        # Held to the end: after a reload the pieces of one model must not meet another.
        predictor = model.predictor
        small = sum(map(_characters, items)) <= INLINE
        plans = _plans(predictor, asked) if small else await service.aside(_plans, predictor, asked)
        pieces = [piece for plan in plans for piece in plan.pieces]
        _check_cells(plans, sum(piece.cells for piece in pieces), service.config.serve)
        try:
            found = await batcher.submit(predictor, pieces)
        except RefusedError as error:
            ends = itertools.accumulate(len(plan.pieces) for plan in plans)
            index = next(i for i, end in enumerate(ends) if error.index < end)
            raise RefusalError(422, f"{asked.place(index)}: {error}") from None
        service.metrics.texts.inc(len(items))
        parts = (predictor, plans, found, asked.of)
        return _finished(*parts) if small else await service.aside(_finished, *parts)


def _plans(predictor: Predictor, asked: Asked) -> list[Plan]:
    """Raises RefusalError for the first item that cannot be read."""
    plans = []
    for index, item in enumerate(asked.items):
        try:
            if isinstance(item, str):
                plans += predictor.planner.of_texts([item])
            else:
                plans += predictor.planner.of_words([item])
        except InputError as error:
            raise RefusalError(422, f"{asked.place(index)}: {error}") from None
    return plans


def _finished(
    predictor: Predictor, plans: Sequence[Plan], found: Sequence[Any], of: Callable[[Extraction], Any]
) -> list[Any]:
    return [of(extraction) for extraction in predictor.finish(plans, found)]


def _check_words(name: str, items: Sequence[Item], config: ServeConfig) -> None:
    """Before anything is split: what is far too much must cost nothing."""
    words = 0
    for item in items:
        found = _WORD.finditer(item) if isinstance(item, str) else item
        words += sum(1 for _ in itertools.islice(found, config.max_words - words + 1))
        if words > config.max_words:
            raise RefusalError(
                413, f"{name} has more than {config.max_words} words, which is all that this server takes in one request "
                "(serve.max_words); send it in parts",
            )  # fmt: skip


def _check_cells(plans: Sequence[Plan], cells: int, config: ServeConfig) -> None:
    if cells > config.max_cells:
        words = sum(len(plan.offsets) for plan in plans)
        pieces = sum(len(plan.pieces) for plan in plans)
        raise RefusalError(
            413,
            f"{words} words in {pieces} sentences and windows make {cells} table cells; this server takes at most "
            f"{config.max_cells} in one request (serve.max_cells): send shorter sentences, or fewer",
        )


def _characters(item: Item) -> int:
    return len(item) if isinstance(item, str) else sum(map(len, item))


async def _disconnected(request: Request) -> None:
    # The body has been read: what can still come is the end of the connection.
    while (await request.receive())["type"] != "http.disconnect":
        pass
