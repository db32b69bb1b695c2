"""One file over HTTP: to a temporary name, resumed where it broke off, its hash checked, then renamed.

A wrong hash leaves nothing. Proxies are those of the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from tablert_dist.errors import InputError, RunError
from tablert_dist.storage import atomic

if TYPE_CHECKING:
    import httpx

REDIRECTS = 5


@dataclass(frozen=True)
class Patience:
    """Time-outs in seconds, attempts, and the pause before the second attempt, which then doubles."""

    connect: float = 15.0
    read: float = 60.0
    attempts: int = 5
    pause: float = 1.0
    slowest: float = 512.0
    """Bytes a second, over `window` seconds, below which a connection is given up and opened again."""
    window: float = 60.0


PATIENT = Patience()


class BrokenTransferError(Exception):
    """An attempt that failed in a way that another may not."""


Progress = Callable[[int, int | None], None]
"""Called with the bytes so far and the bytes in all, where the server says."""


def fetch(
    url: str,
    out: Path,
    sha256: str,
    most_bytes: int,
    patience: Patience = PATIENT,
    progress: Progress = lambda done, total: None,
) -> None:
    """Fetch `url` as the file `out`, which then has this hash. What was read of a broken transfer is kept and resumed.

    Raises RunError where the server does not give the file, InputError where `out` cannot be written.
    """
    import httpx

    part = out.with_name(f".{out.name}.part")
    with atomic.writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    timeout = httpx.Timeout(patience.read, connect=patience.connect)
    reasons: list[str] = []
    try:
        opened = httpx.Client(timeout=timeout, headers={"Accept-Encoding": "identity"})
    except ValueError as error:
        raise InputError(f"HTTP_PROXY or HTTPS_PROXY in the environment: {error}") from None
    with opened as client:
        for attempt in range(patience.attempts):
            if attempt:
                time.sleep(patience.pause * 2 ** (attempt - 1))
            resumed = part.stat().st_size if part.exists() else 0
            try:
                with atomic.writing(out):
                    _attempt(client, url, part, most_bytes, patience, progress)
            except (BrokenTransferError, httpx.TransportError, httpx.InvalidURL) as error:
                reasons.append(str(error) or type(error).__name__)
                continue
            found = atomic.sha256(part)
            if found == sha256:
                with atomic.writing(out):
                    part.replace(out)
                return
            part.unlink()
            reasons.append(f"its sha256 is {found}, expected {sha256}")
            if not resumed:
                # The same server would give the same bytes again.
                break
    raise RunError(f"{url}: {reasons[-1]} ({len(reasons)} attempt{'s' if len(reasons) > 1 else ''})")


def _attempt(
    client: httpx.Client, url: str, part: Path, most_bytes: int, patience: Patience, progress: Progress
) -> None:
    """Go on with `part` to the end of the file. Raises BrokenTransferError, RunError for what no attempt mends."""
    have = part.stat().st_size if part.exists() else 0
    with _opened(client, url, {"Range": f"bytes={have}-"} if have else {}) as answer:
        if answer.status_code == 416 and have:
            # Past the end: either it is whole already, which the hash decides, or it is of another file.
            if _total(answer) == have:
                return
            part.unlink()
            raise BrokenTransferError("what was fetched before does not fit the file; starting again")
        _check_status(answer)
        start = _start(answer, have)
        length = answer.headers.get("content-length", "")
        total = start + int(length) if length.isdigit() else None
        if total is not None and total > most_bytes:
            raise RunError(f"{url}: the server announces {total} bytes, more than the {most_bytes} this file may have")
        _copy(answer, part, start, total, most_bytes, patience, progress)


def _copy(
    answer: httpx.Response,
    part: Path,
    start: int,
    total: int | None,
    most_bytes: int,
    patience: Patience,
    progress: Progress,
) -> None:
    done, since, at = start, time.monotonic(), start
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        for piece in answer.iter_raw():  # as they come: what was read before a break is kept
            done += len(piece)
            if done > most_bytes:
                file.close()
                part.unlink()
                raise RunError(
                    f"{answer.url}: the answer does not end after {most_bytes} bytes, all this file may have"
                )
            file.write(piece)
            progress(done, total)
            now = time.monotonic()
            if now - since > patience.window:
                if done - at < patience.slowest * (now - since):
                    raise BrokenTransferError(f"slower than {patience.slowest:.0f} bytes a second")
                since, at = now, done
    if total is not None and done < total:
        raise BrokenTransferError(f"the connection ended after {done} of {total} bytes")


@contextmanager
def _opened(client: httpx.Client, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    """The answer behind at most REDIRECTS redirects, each of them to http or https."""
    for _ in range(REDIRECTS + 1):
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
            raise RunError(f"{url}: not an http or https address")
        with client.stream("GET", url, headers=headers) as answer:
            target = answer.headers.get("location")
            if answer.status_code not in {301, 302, 303, 307, 308} or not target:
                yield answer
                return
        following = urljoin(url, target)
        if urlsplit(following).scheme not in {"http", "https"}:
            raise RunError(f"{url}: redirects to {following}, which is not followed: only http and https are")
        url = following
    raise RunError(f"{url}: more than {REDIRECTS} redirects")


def _check_status(answer: httpx.Response) -> None:
    code = answer.status_code
    says = f"the server answers {code} {answer.reason_phrase}".rstrip()
    if code in {408, 425, 429} or code >= 500:
        raise BrokenTransferError(says)
    if code not in {200, 206}:
        raise RunError(f"{answer.url}: {says}")


def _start(answer: httpx.Response, have: int) -> int:
    """Where the answer's bytes belong: 0 where the server ignores the range. Another range than asked for is broken."""
    if answer.status_code == 200:
        return 0
    found = re.fullmatch(r"bytes (\d+)-\d+/(?:\d+|\*)", answer.headers.get("content-range", ""))
    if not have or not found or int(found[1]) != have:
        raise BrokenTransferError("the server gives another part of the file than was asked for")
    return have


def _total(answer: httpx.Response) -> int | None:
    found = re.fullmatch(r"bytes \*/(\d+)", answer.headers.get("content-range", ""))
    return int(found[1]) if found else None
