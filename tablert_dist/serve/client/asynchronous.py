"""`tablert_dist.AsyncClient`: the same for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import httpx

from tablert_dist.errors import InputError
from tablert_dist.inference.extraction import Extraction
from tablert_dist.serve.client.talk import URL, Outcome, Talk, Talks

T = TypeVar("T")


class AsyncClient:
    """As `Client`, for asyncio: every call is awaited. Cancelling one takes its texts out of the server's queue.

    Example:
        >>> async with AsyncClient("http://127.0.0.1:8000") as client:
        ...     found = await client.extract("Mira Holt works for Ostrava Looms.")
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
        self._http = httpx.AsyncClient(base_url=self._talks.url, headers=self._talks.headers)

    @overload
    async def extract(self, texts: str) -> Extraction: ...  # type: ignore[overload-overlap]  # as for Client

    @overload
    async def extract(self, texts: Iterable[str]) -> list[Extraction]: ...

    async def extract(self, texts: str | Iterable[str]) -> Extraction | list[Extraction]:
        """Extract from texts, in their order, or from one text. Raises as `Client.extract` does."""
        if isinstance(texts, str):
            return await self._said(self._talks.one(texts))
        return await self._said(self._talks.extract("texts", list(texts)))

    async def extract_words(self, sentences: Iterable[Sequence[str]]) -> list[Extraction]:
        """Extract from sentences given as words, in their order. Raises as `Client.extract` does."""
        return await self._said(self._talks.extract("words", list(sentences)))

    async def schema(self) -> dict[str, Any]:
        """`entity_types`, `relation_types`, `symmetric`, facts about the `model`, and the `limits` of one request."""
        return await self._said(self._talks.schema())

    async def ready(self) -> bool:
        """Whether the server takes requests now; False where it cannot be reached."""
        return await self._said(self._talks.ready())

    async def close(self) -> None:
        """Close the connections; a closed client cannot be used again."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncClient of {self._talks.url}>"

    async def _said(self, talk: Talk[T]) -> T:
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
                await asyncio.sleep(step)
                outcome = None
                continue
            try:
                outcome = await self._http.request(step.method, step.path, content=step.content, timeout=step.timeout)
            except httpx.RequestError as error:
                outcome = error
