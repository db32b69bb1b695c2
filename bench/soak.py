"""Minutes of more load than the server can take, from good, bad, huge, slow and leaving clients: what came back, and whether
memory and descriptors grow."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import psutil

from bench.folders import tiny_bundle
from bench.options import data_option, smoke_option
from bench.serve import Connection, load, resident_mib, same, server, texts_and_answers
from bench.sources import SAMPLE
from bench.timing import report

OVER = 1.5
"""Times the requests a second that the server can answer."""
ALLOWED = {"200", "400", "404", "408", "413", "415", "422", "503", "504"}
_PATIENCE = 120.0
_SAMPLE_S = 5.0
Pairs = list[tuple[bytes, dict[str, Any]]]


@dataclass
class Seen:
    """What came back, and the server's size over time: (seconds, MiB, descriptors)."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    sizes: list[tuple[float, float, int]] = field(default_factory=list)


class Clients:
    """The kinds of clients, each a coroutine of one request."""

    def __init__(self, port: int, pairs: Pairs, seen: Seen, seed: int) -> None:
        self.port, self.pairs, self.seen = port, pairs, seen
        self.rng = random.Random(seed)
        one = [body for body, _ in pairs]
        self.bad = [b"{", b'{"txt": "a"}', b'{"text": 3}', json.dumps({"text": "." * 150_000}).encode(), one[0][:-3]]
        self.kinds: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (80, self.good), (8, self.wrong), (5, self.leaving), (4, self.silent), (2, self.slow), (1, self.huge),
        ]  # fmt: skip

    async def any(self) -> None:
        """One of the kinds, by weight."""
        (kind,) = self.rng.choices([kind for _, kind in self.kinds], [weight for weight, _ in self.kinds])
        try:
            async with asyncio.timeout(_PATIENCE):
                await kind()
        except TimeoutError:
            self.seen.statuses["no answer"] += 1
        except (OSError, asyncio.IncompleteReadError):
            self.seen.statuses["cut"] += 1

    async def good(self) -> None:
        """A sentence; the answer is checked."""
        body, expected = self.rng.choice(self.pairs)
        started = time.perf_counter()
        async with Connection(self.port) as connection:
            status, answer = await connection.post(body)
        self.seen.statuses[str(status)] += 1
        if status == 200:
            self.seen.seconds.append(time.perf_counter() - started)
            self.seen.wrong += not same(json.loads(answer)["results"], [expected])

    async def wrong(self) -> None:
        """A bad body, or one over the budget."""
        async with Connection(self.port) as connection:
            status, _ = await connection.post(self.rng.choice(self.bad))
        self.seen.statuses[str(status)] += 1

    async def huge(self) -> None:
        """Hundreds of sentences in one text."""
        text = " ".join(json.loads(body)["text"] for body, _ in self.rng.choices(self.pairs, k=200))
        async with Connection(self.port) as connection:
            status, _ = await connection.post(json.dumps({"text": text}).encode())
        self.seen.statuses[str(status)] += 1

    async def leaving(self) -> None:
        """Asks and goes away."""
        async with Connection(self.port) as connection:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.rng.uniform(0.0, 0.05)):
                    await connection.post(self.rng.choice(self.pairs)[0])
        self.seen.statuses["left"] += 1

    async def silent(self) -> None:
        """Connects and says nothing for a while."""
        async with Connection(self.port):
            await asyncio.sleep(self.rng.uniform(1.0, 15.0))
        self.seen.statuses["silent"] += 1

    async def slow(self) -> None:
        """Sends its head a few bytes a second; the server hangs up."""
        head = b"POST /v1/extract HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: very very slow indeed\r\n"
        async with Connection(self.port) as connection:
            with contextlib.suppress(OSError):
                for at in range(0, len(head), 4):
                    connection.writer.write(head[at : at + 4])
                    await connection.writer.drain()
                    await asyncio.sleep(1.0)
                self.seen.statuses["slow head not cut off"] += 1
                return
        self.seen.statuses["slow head cut off"] += 1


async def soak(port: int, pid: int, pairs: Pairs, rate: float, seconds: float, seed: int) -> Seen:
    """Start `rate` clients a second, whatever the server does with them."""
    seen = Seen()
    clients, process = Clients(port, pairs, seen, seed), psutil.Process(pid)
    started = time.perf_counter()

    async def watch() -> None:
        while True:
            seen.sizes.append((time.perf_counter() - started, resident_mib(pid), process.num_fds()))
            await asyncio.sleep(_SAMPLE_S)

    watcher = asyncio.create_task(watch())
    async with asyncio.TaskGroup() as group:
        for index in itertools.count():
            due = started + index / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if time.perf_counter() - started > seconds:
                break
            group.create_task(clients.any())
    watcher.cancel()
    return seen


def slope(points: list[tuple[float, float]]) -> float:
    """Of the least-squares line, a minute; the first fifth, in which caches fill, is left out."""
    late = points[len(points) // 5 :]
    if len(late) < 2:
        return 0.0
    return 60 * statistics.linear_regression(*zip(*late, strict=True)).slope


@contextlib.contextmanager
def killing(pid: int, every: float) -> Iterator[list[int]]:
    """Kill a replica of Ray Serve every `every` seconds (0: never); the list has their process ids."""
    killed: list[int] = []
    if not every:
        yield killed
        return

    async def kill() -> None:
        while True:
            await asyncio.sleep(every)
            replicas = [
                c for c in psutil.Process(pid).children(recursive=True) if c.name().startswith("ray::ServeRepl")
            ]
            if replicas:
                os.kill(replicas[0].pid, signal.SIGKILL)
                killed.append(replicas[0].pid)

    task = asyncio.get_running_loop().create_task(kill())
    try:
        yield killed
    finally:
        task.cancel()


async def measure(
    bundle: Path, data: str, seconds: float, connections: int, requests: int, seed: int, on_ray: bool, kill_every: float
) -> dict[str, Any]:
    """All figures."""
    texts, answers = texts_and_answers(bundle, data)
    pairs = [(json.dumps({"text": t}).encode(), a) for t, a in zip(texts, answers, strict=True)]
    options = ["--ray", "--set", "serve.replicas=2", "--set", "serve.max_replicas=2"] if on_ray else []
    with server(bundle, *options) as (port, pid):
        for _ in range(2):  # the first time warms up
            started = time.perf_counter()
            await load(port, itertools.islice(itertools.cycle(pairs), requests), connections)
            rate = OVER * requests / (time.perf_counter() - started)
        with killing(pid, kill_every if on_ray else 0.0) as killed:
            seen = await soak(port, pid, pairs, rate, seconds, seed)
        after = await load(port, itertools.islice(itertools.cycle(pairs), requests), connections)
    cuts = [1000 * cut for cut in statistics.quantiles(seen.seconds, n=100)] if len(seen.seconds) > 1 else [0.0] * 99
    return {
        "ratio": OVER,
        "offered_per_s": round(rate, 1),
        "seconds": seconds,
        "statuses": dict(sorted(seen.statuses.items())),
        "wrong": seen.wrong + after.wrong,
        "p50_ms": round(cuts[49], 1),
        "p99_ms": round(cuts[98], 1),
        "mib": [round(mib) for _, mib, _ in seen.sizes[:: max(1, len(seen.sizes) // 10)]],
        "mib_a_minute": round(slope([(at, mib) for at, mib, _ in seen.sizes]), 2),
        "descriptors": [seen.sizes[0][2], max(count for *_, count in seen.sizes), seen.sizes[-1][2]],
        "descriptors_a_minute": round(slope([(at, float(count)) for at, _, count in seen.sizes]), 2),
        "replicas_killed": len(killed),
        "after": {str(status): count for status, count in after.statuses.items()},
    }


@click.command()
@smoke_option(bundle=tiny_bundle, data=SAMPLE, seconds=3.0, connections=4, requests=40)
@click.option("--bundle", type=click.Path(path_type=Path), required=True, help="A bundle of tablert-export --onnx.")
@data_option
@click.option("--seconds", default=1200.0, show_default=True)
@click.option("--connections", default=32, show_default=True, help="To measure what the server can answer.")
@click.option("--requests", default=500, show_default=True, help="For that.")
@click.option("--seed", default=1, show_default=True)
@click.option("--ray", "on_ray", is_flag=True, help="Two replicas of Ray Serve; its processes' sizes are not watched.")
@click.option("--kill-every", default=60.0, show_default=True, help="With --ray: seconds between two killed replicas.")
def main(bundle: Path, data: str, on_ray: bool, **rest: Any) -> None:
    """Print the JSON line; exit code 1 where an answer was wrong, or none came, or it had another status."""
    result = asyncio.run(measure(bundle, data, on_ray=on_ray, **rest))
    report("soak", result)
    # A replica that is killed takes its requests with it, and Ray's proxy waits for a head as long as a client likes.
    strange_of_ray = {"500", "cut", "slow head not cut off"} if on_ray else set()
    allowed = ALLOWED | {"left", "silent", "slow head cut off"} | strange_of_ray
    strange = set(result["statuses"]) - allowed
    if result["wrong"] or strange or set(result["after"]) != {"200"}:
        raise click.ClickException(f"wrong answers: {result['wrong']}; unexpected: {', '.join(strange) or 'none'}")


if __name__ == "__main__":
    main()
