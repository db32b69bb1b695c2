"""Requests a second of `tablert serve` with batching and without, every answer checked; then ten times the load."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from bench.folders import tiny_bundle
from bench.options import data_option, smoke_option
from bench.sources import SAMPLE
from bench.timing import report

OVERLOAD = 10
"""Times the connections."""
TOLERANCE = 1e-4
USUAL = 1.5
"""Service is usual again when a round's median latency is within this factor of what it was before."""


@dataclass
class Seen:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: int = 0


class Connection:
    """One kept-alive HTTP connection. A general client takes more time than the server does."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> Connection:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *rest: object) -> None:
        self.writer.close()

    async def post(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of `POST /v1/extract`."""
        head = "POST /v1/extract HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        status = int(lines[0].split()[1])
        length = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length")), None)
        return status, await (self._chunks() if length is None else self.reader.readexactly(length))

    async def _chunks(self) -> bytes:
        """A body that comes in chunks, as Ray Serve sends what it says itself."""
        body = b""
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return body


def texts_and_answers(bundle: Path, data: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Real sentences and what the bundle says of them without a server."""
    from tablert_dist.config import DataConfig
    from tablert_dist.data import load_corpus
    from tablert_dist.inference.predictor import Predictor

    splits = load_corpus(DataConfig(path=data)).splits
    texts = [" ".join(s.words) for name in ("dev", "test") for s in splits.get(name, ())]
    return texts, [found.to_json() for found in Predictor.load(bundle).predict(texts)]


def same(found: Any, expected: Any) -> bool:
    """Equal but for floats, which may differ by the tolerance."""
    if isinstance(expected, float):
        return isinstance(found, float) and abs(found - expected) <= TOLERANCE
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(itertools.starmap(same, zip(found, expected, strict=True)))
    return bool(found == expected)


@contextlib.contextmanager
def server(bundle: Path, *options: str) -> Iterator[tuple[int, int]]:
    """A server process of its own; its port and its process id."""
    words = [sys.executable, "-m", "tablert_dist.cli", "serve", "--bundle", str(bundle), "--set", "serve.port=0"]
    with subprocess.Popen([*words, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            line = process.stdout.readline()
            if not line.startswith("serving"):
                raise SystemExit(f"the server did not start: {line}")
            yield int(line.split()[1].rsplit(":", 1)[1]), process.pid
        finally:
            process.send_signal(signal.SIGTERM)


async def load(
    port: int, work: Iterator[tuple[bytes, dict[str, Any]]], connections: int, until: float | None = None
) -> Seen:
    """Send everything in `work` over the given number of connections, one request at a time each; stop at `until`."""
    seen = Seen()

    async def one() -> None:
        async with Connection(port) as connection:
            for body, expected in work:
                if until is not None and time.perf_counter() > until:
                    return
                started = time.perf_counter()
                status, answer = await connection.post(body)
                seen.statuses[status] += 1
                if status == 200:
                    seen.seconds.append(time.perf_counter() - started)
                    seen.wrong += not same(json.loads(answer)["results"], [expected])

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one())
    return seen


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def overload(
    port: int,
    pid: int,
    pairs: Sequence[tuple[bytes, dict[str, Any]]],
    connections: int,
    seconds: float,
    patience: float,
) -> dict[str, Any]:
    """Ten times the connections for so long: what came back, the most memory, and how soon service was usual again."""
    before = statistics.median((await load(port, iter(pairs[:200]), connections)).seconds)
    most, idle = 0.0, resident_mib(pid)

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, resident_mib(pid))
            await asyncio.sleep(0.05)

    watcher = asyncio.create_task(watch())
    until = time.perf_counter() + seconds
    flood = await load(port, itertools.cycle(pairs), OVERLOAD * connections, until)
    watcher.cancel()
    ended = time.perf_counter()
    while True:
        after = await load(port, iter(pairs[:100]), connections)
        waited = time.perf_counter() - ended
        usual = set(after.statuses) == {200} and statistics.median(after.seconds) <= USUAL * before
        if usual or waited > patience:
            break
    return {
        "overload": {str(status): count for status, count in sorted(flood.statuses.items())},
        "overload_wrong": flood.wrong + after.wrong,
        "memory_mib": round(most),
        "idle_mib": round(idle),
        "recovered_s": round(waited, 2) if usual else None,
    }


async def measure(
    bundle: Path, data: str, requests: int, rounds: int, connections: int, seconds: float, patience: float
) -> dict[str, Any]:
    """All figures."""
    texts, answers = texts_and_answers(bundle, data)
    pairs = [(json.dumps({"text": t}).encode(), a) for t, a in zip(texts, answers, strict=True)]
    with server(bundle) as (with_port, pid), server(bundle, "--no-batching") as (without_port, _):
        rates: dict[int, list[float]] = {with_port: [], without_port: []}
        all_seen = {port: Seen() for port in rates}
        endless = itertools.cycle(pairs)
        for index in range(rounds + 1):
            part = list(itertools.islice(endless, max(connections, requests // rounds)))
            for port, found in rates.items():
                started = time.perf_counter()
                seen = await load(port, iter(part), connections)
                if index == 0:
                    continue  # warms both up
                found.append(len(part) / (time.perf_counter() - started))
                all_seen[port].statuses += seen.statuses
                all_seen[port].seconds += seen.seconds
                all_seen[port].wrong += seen.wrong
        crowded = await overload(with_port, pid, pairs, connections, seconds, patience)
    fast, slow = (statistics.median(rates[port]) for port in (with_port, without_port))
    latencies = [1000 * s for s in all_seen[with_port].seconds]
    cuts = statistics.quantiles(latencies, n=100)
    return {
        "ratio": round(fast / slow, 2),
        "requests_per_s": round(fast, 1),
        "unbatched_per_s": round(slow, 1),
        "p50_ms": round(cuts[49], 1),
        "p99_ms": round(cuts[98], 1),
        "unbatched_p50_ms": round(1000 * statistics.median(all_seen[without_port].seconds), 1),
        "statuses": {str(s): n for s, n in sum((a.statuses for a in all_seen.values()), Counter()).items()},
        "wrong": sum(a.wrong for a in all_seen.values()),
        "connections": connections,
        **crowded,
    }


@click.command()
@smoke_option(bundle=tiny_bundle, data=SAMPLE, requests=40, rounds=1, connections=4, seconds=0.3, patience=0.0)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    required=True,
    help="A bundle of tablert-export --onnx, or of tablert tune --config sample --space smoke.",
)
@data_option
@click.option("--requests", default=2000, show_default=True, help="To each of the two servers.")
@click.option("--rounds", default=5, show_default=True, help="Turns between the two servers.")
@click.option("--connections", default=32, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="Of overload.")
@click.option("--patience", default=60.0, show_default=True, help="Seconds to wait for usual service after it.")
def main(bundle: Path, data: str, **load: Any) -> None:
    """Print the JSON line; exit code 1 where an answer was wrong or neither 200 nor 503."""
    result = asyncio.run(measure(bundle, data, **load))
    report("serve", result)
    if result["wrong"] or result["overload_wrong"] or set(result["overload"]) - {"200", "503"}:
        raise click.ClickException("an answer was wrong, or neither 200 nor 503")


if __name__ == "__main__":
    main()
