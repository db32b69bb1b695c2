"""A small request's time alone and beside a huge one, in turns; and what becomes of the huge one."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import Any

import click

from bench.folders import tiny_bundle
from bench.options import smoke_option
from bench.serve import Connection, resident_mib, server
from bench.timing import report

SMALL = json.dumps({"text": "Anna Kowalska is employed by Baltic Freight."}).encode()
PROSE = "Anna Kowalska, who was born in Karsund, is employed by Baltic Freight. "
_PAUSE_S = 0.03


async def small(port: int, seconds: list[float]) -> None:
    """One small request on a connection of its own."""
    async with Connection(port) as connection:
        started = time.perf_counter()
        status, _ = await connection.post(SMALL)
        if status != 200:
            raise click.ClickException(f"a small request got {status}")
        seconds.append(time.perf_counter() - started)
    await asyncio.sleep(_PAUSE_S)


async def huge(port: int, text: str) -> tuple[int, float]:
    """Status and seconds of a huge request."""
    async with Connection(port) as connection:
        started = time.perf_counter()
        status, _ = await connection.post(json.dumps({"text": text}).encode())
        return status, time.perf_counter() - started


async def measure(bundle: Path, dots: int, sentences: int, rounds: int, count: int) -> dict[str, Any]:
    """All figures."""
    texts = {"refused": "." * 200_000, "windows": "." * dots, "sentences": PROSE * sentences}
    found: dict[str, Any] = {}
    usual: list[float] = []
    beside: dict[str, list[float]] = {name: [] for name in texts}
    ends: dict[str, list[tuple[int, float]]] = {name: [] for name in texts}
    with server(bundle) as (port, pid):
        for _ in range(count):
            await small(port, [])
        for _ in range(rounds):
            for _ in range(count):
                await small(port, usual)
            for name, text in texts.items():
                work = asyncio.create_task(huge(port, text))
                # Once at least: a fast machine may answer a short text before the first small request begins.
                while not beside[name] or not work.done():
                    await small(port, beside[name])
                ends[name].append(await work)
        found["mib"] = round(resident_mib(pid))
    typical = statistics.median(usual)
    found["usual_ms"] = round(1000 * typical, 1)
    for name in texts:
        found[name] = {
            "status": sorted({status for status, _ in ends[name]}),
            "seconds": round(statistics.median(seconds for _, seconds in ends[name]), 2),
            "small_ms": round(1000 * statistics.median(beside[name]), 1),
            "small_ratio": round(statistics.median(beside[name]) / typical, 2),
        }
    return {"ratio": max(found[name]["small_ratio"] for name in texts), **found}


@click.command()
@smoke_option(bundle=tiny_bundle, dots=300, sentences=20, rounds=1, count=2)
@click.option("--bundle", type=click.Path(path_type=Path), required=True, help="A bundle of tablert-export --onnx.")
@click.option("--dots", default=3900, show_default=True, help="Words of a text without an end, read in windows.")
@click.option("--sentences", default=1700, show_default=True, help="Of a long text.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--count", default=30, show_default=True, help="Small requests before each round.")
def main(bundle: Path, **sizes: int) -> None:
    """Print the JSON line; `ratio` is the worst of the small requests' medians over their usual one."""
    report("beside", asyncio.run(measure(bundle, **sizes)))


if __name__ == "__main__":
    main()
