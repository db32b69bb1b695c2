"""Interleaved timing: two things in turn, medians of several, so that a busy machine slows both alike."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench.options import smoking


def interleaved(slow: Callable[[], Any], fast: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Seconds of each (median) and their ratio; each is warmed up once."""
    slow()
    fast()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for work, found in zip((slow, fast), times, strict=True):
            started = time.perf_counter()
            work()
            found.append(time.perf_counter() - started)
    first, second = (statistics.median(found) for found in times)
    return {"ratio": round(first / second, 2), "slow_s": round(first, 5), "fast_s": round(second, 5)}


def cpu_seconds(works: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Medians of the process' CPU seconds of each, in turns; each is warmed up once."""
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, found in zip(works, times, strict=True):
            started = time.process_time()
            work()
            found.append(time.process_time() - started)
    return [statistics.median(found) for found in times]


def report(name: str, result: dict[str, Any]) -> None:
    """Print the JSON line. Raise ValueError if a figure is not finite."""
    smoke = {"smoke": True} if smoking() else {}
    print(json.dumps({"bench": name, **result, **smoke}, allow_nan=False), flush=True)
