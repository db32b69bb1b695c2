"""A conversation with the server, without the network: what to send next, when to wait, when to give up.

A talk is a generator. It yields a `Call` to send, and is sent the response or the error that came; or seconds to sleep.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from tablert_dist.errors import InputError, RunError, counted, first_line
from tablert_dist.inference.extraction import Extraction
from tablert_dist.serve.client.answers import Item, Part, encoded, extraction_of, parts
from tablert_dist.storage.secrets import holds_login

TOKEN_VARIABLE = "TABLERT_TOKEN"  # the name of the variable
URL = "http://127.0.0.1:8000"
CONNECT_SECONDS = 10.0
_PAUSE_S = 0.25
"""Before the second attempt to connect; it doubles."""
_AGAIN = (429, 502, 503)
"""Statuses of a server or a proxy that may answer later."""
_PLACE = re.compile(r"^(?:texts|words)\[(\d+)\]")
T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """A request to send."""

    method: str
    path: str
    content: bytes | None
    timeout: httpx.Timeout


Outcome = httpx.Response | httpx.RequestError | None
Talk = Generator[Call | float, Outcome, T]


class RefusedError(InputError):
    """The server has refused the request: `status` is that of its answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Talks:
    """What `Client` and `AsyncClient` say to a server; they differ in how a call is sent and a pause is slept.

    Raises InputError where the address, the token or a number cannot be used.
    """

    def __init__(self, url: str, token: str | None, timeout: float, deadline: float, retries: int) -> None:
        self.url, self.headers = _checked(url), _headers(token)
        for name, value in (("timeout", timeout), ("deadline", deadline)):
            if not value > 0:
                raise InputError(f"{name} = {value}: seconds above 0 are expected")
        if retries < 0:
            raise InputError(f"retries = {retries}: 0 or more are expected")
        self._timeout, self._deadline, self._retries = timeout, deadline, retries
        self._schema: dict[str, Any] | None = None

    def ready(self) -> Talk[bool]:
        """Whether the server takes requests; asked once."""
        outcome = yield self._call("GET", "/readyz", None, self._timeout)
        if isinstance(outcome, httpx.TransportError):
            return False
        assert isinstance(outcome, httpx.Response)
        if outcome.status_code in _AGAIN:
            return False
        self._tree(outcome)
        return True

    def schema(self) -> Talk[dict[str, Any]]:
        """What `/v1/schema` answers; kept for the limits that it tells."""
        tree = yield from self._asked("GET", "/v1/schema", None)
        if not isinstance(tree, dict) or not {"symmetric", "limits"} <= tree.keys():
            raise self._strange("/v1/schema")
        self._schema = tree
        return tree

    def extract(self, name: str, items: Sequence[Item]) -> Talk[list[Extraction]]:
        """The extractions of `texts` or `words`, in their order, in as many requests as the server's limits need."""
        found = encoded(name, items)
        schema = self._schema or (yield from self.schema())
        symmetric, limits = frozenset(schema["symmetric"]), schema["limits"]
        results: list[Extraction] = []
        for part in parts(found, limits["texts"], limits["body"]):
            results += yield from self._read(name, part, symmetric)
        return results

    def one(self, text: str) -> Talk[Extraction]:
        """The extraction of one text."""
        try:
            (found,) = yield from self.extract("texts", [text])
        except InputError as error:
            error.args = (str(error).replace("texts[0]", "text", 1),)
            raise
        return found

    def _read(self, name: str, part: Part, symmetric: frozenset[str]) -> Talk[list[Extraction]]:
        try:
            tree = yield from self._asked("POST", "/v1/extract", part.body(name), part.start)
        except RefusedError as refused:
            if refused.status != 413:
                raise
            if len(part.items) == 1:
                sentence = str(refused).removeprefix(f"{self.url}: ")
                raise RefusedError(413, f"{self.url}: {name}[{part.start}] is too large: {sentence}") from None
            # How many words and table cells its texts have is the server's to count.
            results = []
            for half in part.halves():
                results += yield from self._read(name, half, symmetric)
            return results
        try:
            results = [extraction_of(one, symmetric) for one in tree["results"]]
        except (KeyError, IndexError, TypeError, ValueError):
            raise self._strange("/v1/extract") from None
        if len(results) != len(part.items):
            raise self._strange("/v1/extract")
        return results

    def _asked(self, method: str, path: str, content: bytes | None, start: int = 0) -> Talk[Any]:
        """The JSON of the answer; `start` is the place of the request's first text in the caller's list."""
        until, failures = time.monotonic() + self._deadline, 0
        while True:
            outcome = yield self._call(method, path, content, min(self._timeout, until - time.monotonic()))
            if isinstance(outcome, httpx.RequestError):
                failures += 1
                reason, pause = self._broken(outcome, failures), _PAUSE_S * 2 ** (failures - 1)
            else:
                assert outcome is not None
                if not _worth_another(outcome):
                    return self._tree(outcome, start)
                reason, pause = _sentence(outcome), _wait(outcome)
            if time.monotonic() + pause >= until:
                raise RunError(f"{self.url}: {reason}; given up, as deadline = {self._deadline:g} s would have passed")
            yield pause

    def _call(self, method: str, path: str, content: bytes | None, seconds: float) -> Call:
        seconds = max(seconds, 0.001)
        return Call(method, path, content, httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)))

    def _broken(self, error: httpx.RequestError, failures: int) -> str:
        """Why there is no answer. Raises RunError where another attempt is not worth it."""
        reason = first_line(error)
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
            raise RunError(f"{self.url} has not answered in time (timeout = {self._timeout:g} s)") from None
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            sentence = f"it cannot be reached ({reason}); is tablert serve running there?"
        else:
            # Reading a text changes nothing at the server: it may be asked again.
            sentence = f"the connection has ended before the answer ({reason})"
        if failures > self._retries:
            raise RunError(f"{self.url}: {sentence} ({counted(failures, 'attempt')})") from None
        return sentence

    def _tree(self, answer: httpx.Response, start: int = 0) -> Any:
        """The JSON of a good answer. Raises RefusedError for a 4xx, RunError for any other."""
        if answer.status_code == 200:
            try:
                return answer.json()
            except ValueError:
                raise self._strange(answer.request.url.path) from None
        sentence = _PLACE.sub(lambda found: found[0].replace(found[1], str(int(found[1]) + start)), _sentence(answer))
        if answer.status_code == 401:
            raise RefusedError(401, f"{self.url}: {_token_needed('authorization' in self.headers)}")
        if 400 <= answer.status_code < 500:
            raise RefusedError(answer.status_code, f"{self.url}: {sentence}")
        raise RunError(f"{self.url}: {sentence}")

    def _strange(self, path: str) -> RunError:
        return RunError(
            f"{self.url}: {path} is not answered as tablert serve does; is it the right address and version?"
        )


def _checked(url: str) -> str:
    if holds_login(url):
        raise InputError(
            "url: an address with a login in it is not used; give the token as token=, or in $TABLERT_TOKEN"
        )
    try:
        found = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise InputError(f"url = {url!r} is no address; give one like {URL}") from None
    if found.scheme not in ("http", "https") or not found.host:
        raise InputError(f"url = {url!r} is no address of a web server; give one like {URL}")
    return url.rstrip("/")


def _headers(token: str | None) -> dict[str, str]:
    """Raises InputError for a token that no header can hold; it is never shown."""
    where, found = ("token", token) if token is not None else (f"${TOKEN_VARIABLE}", os.environ.get(TOKEN_VARIABLE, ""))
    found = found.strip()
    if not found.isascii() or not found.isprintable() or " " in found:
        raise InputError(f"{where}: a token has ASCII characters and no white space")
    kind = {"content-type": "application/json"}
    return {**kind, "authorization": f"Bearer {found}"} if found else kind


def _token_needed(given: bool) -> str:
    if given:
        return "the server has another token than the one that was given"
    return f"the server asks for a token: give it as token=, or in ${TOKEN_VARIABLE}"


def _worth_another(answer: httpx.Response) -> bool:
    """Whether the same request may be answered later. Ray's proxy says 500 for a replica that has died (2.60)."""
    return answer.status_code in _AGAIN or (answer.status_code == 500 and _error_of(answer) is None)


def _wait(answer: httpx.Response) -> float:
    """Seconds that the server asks for; 1 where it does not say."""
    asked = answer.headers.get("retry-after", "")
    return float(asked) if asked.isascii() and asked.isdigit() and len(asked) < 8 else 1.0


def _sentence(answer: httpx.Response) -> str:
    return _error_of(answer) or f"answered {answer.status_code} {answer.reason_phrase}".strip()


def _error_of(answer: httpx.Response) -> str | None:
    """The sentence of an answer of ours."""
    try:
        tree = json.loads(answer.content)
    except ValueError:
        return None
    sentence = tree.get("error") if isinstance(tree, dict) else None
    return sentence if isinstance(sentence, str) else None
