"""The body of a request: read under a limit, parsed strictly, refused in one sentence; and an answer's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from tablert_dist.config import ServeConfig
from tablert_dist.errors import nearest
from tablert_dist.inference.extraction import Extraction

Item = str | list[str]
"""A text, or the words of a sentence."""
BODY_SECONDS = 30.0
"""A body must arrive within; a client that dribbles would hold its memory for ever."""
DISCARD = 32_000_000
"""Bytes over the limit that are still read, and dropped: a client that is sending does not see an answer."""
_SHOWN = 60
_MUST_BE = {"string_type": "a string", "bool_type": "true or false"}
_ONE_OF = "give exactly one of text (a string), texts (a list of strings) and words (a list of lists of strings)"


class RefusalError(Exception):
    """An answer other than 200: its status, its sentence, its headers."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers or {}


@dataclass(frozen=True)
class Asked:
    """What a request asks to be read: `items`, and how sentences about them call the list."""

    name: str
    items: Sequence[Item]
    of: Callable[[Extraction], Any] = Extraction.to_json
    """What the answer has of each."""
    turn: int = 0
    """Items that are read at once, and count as one request for the limits; 0: all of them."""
    start: int = 0
    """The place of the first one in the request."""

    def turns(self) -> Iterator[Asked]:
        """The same, turn by turn; one for no items."""
        for at in range(0, max(1, len(self.items)), self.turn or max(1, len(self.items))):
            yield replace(self, items=self.items[at:][: self.turn or None], start=at)

    def place(self, index: int) -> str:
        """How a sentence names the item at `index`."""
        return place(self.name, self.start + index)


class ExtractRequest(BaseModel):
    """Exactly one of `text`, `texts` and `words`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field("", description="One text, of any length.")
    # FailFast: a body of a million wrong items must not make a million errors.
    texts: Annotated[list[str], FailFast()] = Field([], description="Several texts.")
    words: Annotated[list[Annotated[list[str], FailFast()]], FailFast()] = Field(
        [], description="Sentences given as words; none is empty or has white space in it."
    )
    offsets: bool = Field(False, description="Add `offsets` to each result: the characters of its words, half-open.")


class Held:
    """Bytes of bodies in memory, over all requests."""

    def __init__(self, limit: int) -> None:
        self.limit, self.bytes = limit, 0


async def read_body(request: Request, limit: int, held: Held) -> bytes:
    """The body; no more than `limit` of it is ever kept.

    Raises RefusalError 413 where it is longer, 408 where it does not arrive, 503 where too many are being read. The bytes
    stay counted in `held`; the caller takes them off.
    """
    headers = request.headers
    too_large = RefusalError(413, f"the body is over {limit} bytes (serve.max_body)", {"Connection": "close"})
    declared = headers.get("content-length", "")
    if "expect" in headers and declared.isdigit() and int(declared) > limit:
        raise too_large
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= limit:
                    if held.bytes + len(chunk) > held.limit:
                        raise RefusalError(
                            503, "the server is reading too many requests; try again", {"Retry-After": "1"}
                        )
                    held.bytes += len(chunk)
                    body += chunk
                elif size > limit + DISCARD:
                    break
                else:
                    held.bytes -= len(body)
                    body = bytearray()
    except TimeoutError:
        held.bytes -= len(body)
        raise RefusalError(408, f"the body did not arrive within {BODY_SECONDS:g} s", {"Connection": "close"}) from None
    except BaseException:
        held.bytes -= len(body)
        raise
    if size > limit:
        held.bytes -= len(body)
        raise too_large
    return bytes(body)


def check_utf8(body: bytes) -> None:
    """Raise RefusalError 400 for what is no UTF-8."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusalError(400, f"the body is not UTF-8: byte {error.start} cannot be read") from None


def parse(body: bytes, config: ServeConfig) -> Asked:
    """What `/v1/extract` asks for. Raises RefusalError: 400 for no JSON, 422 for the wrong JSON."""
    check_utf8(body)
    try:
        request = ExtractRequest.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False, include_input=False)[0]) from None
    fields = request.model_fields_set - {"offsets"}
    if len(fields) != 1:
        raise RefusalError(422, f"{_ONE_OF}; found {', '.join(sorted(fields)) or 'none'}")
    (name,) = fields
    items: list[Item] = [request.text] if name == "text" else [*request.texts, *request.words]
    check_items(name, items, config)
    return Asked(name, items, _with_offsets if request.offsets else Extraction.to_json)


def _with_offsets(found: Extraction) -> dict[str, Any]:
    return found.to_json() | {"offsets": found.offsets}


def check_items(name: str, items: Sequence[Item], config: ServeConfig, status: int = 422) -> None:
    """Raise RefusalError, of this status, where they are more or longer than one request may bring."""
    if len(items) > (most := most_texts(config)):
        raise RefusalError(status, f"{name} has {len(items)} texts; this server takes at most {most} in one request")
    for index, item in enumerate(items):
        check_item(item, place(name, index), config, status)


def most_texts(config: ServeConfig) -> int:
    """In one request."""
    return min(config.max_texts, config.queue)


def answer(status: int, tree: Any, headers: dict[str, str] | None = None) -> Response:
    """A tree as JSON."""
    text = json.dumps(tree, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode(), status, headers, media_type="application/json")


def refused(refusal: RefusalError) -> Response:
    """The answer that a refusal is."""
    return answer(refusal.status, {"error": refusal.sentence}, refusal.headers)


def place(name: str, index: int) -> str:
    """How a sentence names an item: `text`, or `texts[3]`."""
    return name if name == "text" else f"{name}[{index}]"


def check_item(item: Item, where: str, config: ServeConfig, status: int = 422) -> None:
    """Raise RefusalError, of this status, for an item that is too long, and 422 for words that are none."""
    most = config.max_characters
    length = len(item) if isinstance(item, str) else sum(map(len, item)) + max(0, len(item) - 1)
    if length > most:
        raise RefusalError(
            status, f"{where} has {length} characters; this server takes at most {most} (serve.max_characters)"
        )
    if isinstance(item, str):
        return
    for index, word in enumerate(item):
        if not word:
            raise RefusalError(422, f"{where}[{index}] is an empty word; leave it out")
        if word.split() != [word]:
            raise RefusalError(
                422, f"{where}[{index}] has white space in it: a word must not; split it, or send the sentence as text"
            )


def _refusal(error: Any) -> RefusalError:
    """The first of pydantic's errors as a sentence."""
    kind, path = error["type"], error["loc"]
    where = "".join(f"[{part}]" if isinstance(part, int) else str(part)[:_SHOWN] for part in path)
    if kind == "json_invalid":
        return RefusalError(400, f"the body is not JSON: {error['ctx']['error']}")
    if kind == "extra_forbidden":
        return RefusalError(
            422, f"unknown field '{where}'{nearest(where, ExtractRequest.model_fields) or f'; {_ONE_OF}'}"
        )
    if kind in _MUST_BE:
        return RefusalError(422, f"{where} must be {_MUST_BE[kind]}")
    if kind == "list_type":
        of = "strings" if len(path) > 1 or where == "texts" else "lists of strings"
        return RefusalError(422, f"{where} must be a list of {of}")
    if not path:
        return RefusalError(422, f"the body must be a JSON object; {_ONE_OF}")
    return RefusalError(422, f"{where}: {error['msg']}")
