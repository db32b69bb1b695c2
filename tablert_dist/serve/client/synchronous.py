"""`tablert_dist.Client`: the server's answers by calls that block."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import httpx

from tablert_dist.errors import InputError
from tablert_dist.inference.extraction import Extraction
from tablert_dist.serve.client.talk import URL, Outcome, Talk, Talks

T = TypeVar("T")


class Client:
    """Asks a `tablert serve`, and gives the results that the server's own `Predictor` has made.

    `token` is the server's, by default the one in `$TABLERT_TOKEN`; it is never shown. `timeout` is in seconds, for one
    answer. A server that is busy (503) is asked again after the seconds that it names, and one that cannot be reached
    `retries` times, until a request with all its retries has taken `deadline` seconds. Threads may share a client.

    Raises InputError where the address, the token or a number cannot be used.

    Example:
        >>> with Client("http://127.0.0.1:8000") as client:
        ...     found = client.extract("Mira Holt works for Ostrava Looms.")
        >>> found.triples()
        [('Mira Holt', 'works_for', 'Ostrava Looms')]
    """

    def __init__(
        self,
        url: str = URL,
        token: str | None = None,
        *,
        timeout: float = 90.0,
        deadline: float = 300.0,
        retries: int = 3,
    ) -> None:
        self._talks = Talks(url, token, timeout, deadline, retries)
        self._http = httpx.Client(base_url=self._talks.url, headers=self._talks.headers)

    @overload
    def extract(self, texts: str) -> Extraction: ...  # type: ignore[overload-overlap]  # a text is an Iterable of texts too

    @overload
    def extract(self, texts: Iterable[str]) -> list[Extraction]: ...

    def extract(self, texts: str | Iterable[str]) -> Extraction | list[Extraction]:
        """Extract from texts, in their order, or from one text. A long list is sent in parts that the server takes.

        Raises InputError with the server's sentence where it refuses a text or the token, and RunError where it cannot
        be reached, fails, or does not answer in time. Nothing is returned of a list whose later part fails.
        """
        if isinstance(texts, str):
            return self._said(self._talks.one(texts))
        return self._said(self._talks.extract("texts", list(texts)))

    def extract_words(self, sentences: Iterable[Sequence[str]]) -> list[Extraction]:
        """Extract from sentences given as words, in their order. Raises as `extract` does."""
        return self._said(self._talks.extract("words", list(sentences)))

    def schema(self) -> dict[str, Any]:
        """`entity_types`, `relation_types`, `symmetric`, facts about the `model`, and the `limits` of one request."""
        return self._said(self._talks.schema())

    def ready(self) -> bool:
        """Whether the server takes requests now; False where it cannot be reached."""
        return self._said(self._talks.ready())

    def close(self) -> None:
        """Close the connections; a closed client cannot be used again."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self._talks.url}>"

    def _said(self, talk: Talk[T]) -> T:
        if self._http.is_closed:
            raise InputError("this client is closed; make another")
        outcome: Outcome = None
        while True:
            try:
                step = talk.send(outcome)
            except StopIteration as end:
                found: T = end.value
                return found
            if isinstance(step, float):
                time.sleep(step)
                outcome = None
                continue
            try:
                outcome = self._http.request(step.method, step.path, content=step.content, timeout=step.timeout)
            except httpx.RequestError as error:
                outcome = error
