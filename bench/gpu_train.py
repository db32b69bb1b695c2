"""Training on a card: sentences a second of our head and of the dense one in turns, a step's kernels, memory, losses."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bench.gpu_setup import Setup, setup
from bench.oracle import DenseHead
from tablert_dist.errors import OutOfMemory
from tablert_dist.model import TableModel
from tablert_dist.train.ahead import prepared
from tablert_dist.train.context import TrainContext
from tablert_dist.train.evaluation import evaluate
from tablert_dist.train.trainer import make_trainer

Row = dict[str, Any]


def context_on(device: torch.device, precision: str) -> TrainContext:
    """Return the place of one worker; `precision` is bf16 or fp32."""
    return TrainContext(device=device, autocast=torch.bfloat16 if precision == "bf16" else None)


def throughput(
    shape: str, data: str, sizes: Sequence[int], steps: int, rounds: int, context: TrainContext
) -> list[Row]:
    """Return a row for each batch size: 8 drawn at random as in the paper, larger ones by length.

    Both heads take the same batches in turns. The first pass is timed apart: kernels are loaded for each new shape.
    """
    rows = []
    for size in sizes:
        made = setup(shape, data, **{"train.batch_size": size, "train.bucket": size > 8})
        made.model.to(context.device)
        dense = TableModel(made.model.encoder, made.model.head)
        dense.head = DenseHead(made.model.head).to(context.device)  # type: ignore[arg-type]
        batches = made.batches(size, steps, bucket=size > 8)
        sides = {"ours": _passes(made, made.model, batches, context), "dense": _passes(made, dense, batches, context)}
        sentences = sum(len(batch) for batch in batches)
        row: Row = {"shape": shape, "batch": size}
        times: dict[str, list[float]] = {}
        for name, work in sides.items():
            _reset_peak(context.device)
            try:
                row[f"{name}_warm_up_s"] = round(_timed(work, context.device), 2)
                times[name] = []
            except OutOfMemory as error:
                row[f"{name}_refused"] = str(error)
            row[f"{name}_peak_mib"] = _peak_mib(context.device)
        for _ in range(rounds):
            for name, found in times.items():
                found.append(_timed(sides[name], context.device))
        for name, found in times.items():
            seconds = statistics.median(found)
            row[f"{name}_per_s"] = round(sentences / seconds, 1)
            row[f"{name}_step_ms"] = round(1000 * seconds / len(batches), 2)
        if len(times) == 2:
            row["ratio"] = round(row["ours_per_s"] / row["dense_per_s"], 2)
        row |= kernels(sides["ours"], len(batches), row.get("ours_step_ms"), context.device) if "ours" in times else {}
        rows.append(row)
        print(row, flush=True)
    return rows


def kernels(work: Callable[[], None], steps: int, step_ms: float | None, device: torch.device) -> Row:
    """Return a step's kernel launches, the time the card computes in it, and its share of the step; nothing on a CPU."""
    if device.type != "cuda":
        return {}
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        work()
        torch.cuda.synchronize(device)
    events = [e for e in profiler.events() if e.device_type.name == "CUDA"]
    busy_ms = sum(e.device_time for e in events) / 1000 / steps
    by_name: dict[str, list[float]] = {}
    for event in events:
        by_name.setdefault(event.name, []).append(event.device_time / 1000 / steps)
    longest = sorted(by_name.items(), key=lambda item: -sum(item[1]))[:8]
    for name, times in longest:
        print(f"    {sum(times):7.3f} ms a step  {len(times) / steps:6.1f} ×  {name[:90]}")
    share = {"busy_share": round(busy_ms / step_ms, 3)} if step_ms else {}
    return {"launches": round(len(events) / steps, 1), "busy_ms": round(busy_ms, 2), **share}


def checkpointing(shape: str, data: str, size: int, steps: int, rounds: int, context: TrainContext) -> Row:
    """Return what model.gradient_checkpointing costs in time and saves in memory: ratios to a training without it."""
    times: dict[bool, list[float]] = {False: [], True: []}
    works, peaks = {}, {}
    for on in times:
        changes = {"model.gradient_checkpointing": on, "train.batch_size": size, "train.bucket": True}
        made = setup(shape, data, **changes)
        made.model.to(context.device)
        works[on] = _passes(made, made.model, made.batches(size, steps, bucket=True), context)
        _reset_peak(context.device)
        works[on]()
        peaks[on] = _peak_mib(context.device)
    for _ in range(rounds):
        for on, found in times.items():
            found.append(_timed(works[on], context.device))
    return {
        "shape": shape,
        "batch": size,
        "time_ratio": round(statistics.median(times[True]) / statistics.median(times[False]), 2),
        "peak_mib": [peaks[False], peaks[True]],
    }


def evaluation(shape: str, data: str, context: TrainContext, repeats: int = 3) -> Row:
    """Return sentences a second of `evaluate` with the batches that suit the device, and with a CPU's."""
    made = setup(shape, data)
    made.model.to(context.device)
    row: Row = {"shape": shape}
    for name, cells in (("by_device", None), ("cells_20000", 20_000)):

        def work(cells: int | None = cells) -> None:
            evaluate(made.model, made.train, made.tags, cells, context)

        work()
        seconds = statistics.median(_timed(work, context.device) for _ in range(repeats))
        row[f"{name}_per_s"] = round(len(made.train.sentences) / seconds, 1)
    return row


def losses(shape: str, data: str, context: TrainContext, steps: int = 20) -> Row:
    """Return how far the losses on the device lie from the CPU's, relative: of the first step, and the farthest of all.

    No dropout, and a tenth of the learning rate: at the full one random weights leap, and any rounding grows.
    """
    expected = _losses(shape, data, TrainContext(), steps)
    row: Row = {"shape": shape, "steps": steps}
    for precision in ("fp32", "bf16"):
        found = _losses(shape, data, context_on(context.device, precision), steps)
        apart = [abs(a / b - 1) for a, b in zip(found, expected, strict=True)]
        row |= {f"{precision}_first": float(f"{apart[0]:.2g}"), f"{precision}_farthest": float(f"{max(apart):.2g}")}
    return row


def _losses(shape: str, data: str, context: TrainContext, steps: int) -> list[float]:
    if context.device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    made = setup(shape, data, dropout=0.0)
    made.model.to(context.device)
    trainer = make_trainer(made.model, made.train, made.config, 1, context)
    made.model.train()
    found = []
    for i, batch in enumerate(made.batches(8, steps, False)):
        loss, _, sentences = trainer.step(made.train, batch, made.tags, 0.1 * (i + 1) / steps, (1, 0))
        found.append(float(loss) / sentences)
    return found


def _passes(
    made: Setup, model: TableModel, batches: Sequence[Sequence[int]], context: TrainContext
) -> Callable[[], None]:
    trainer = make_trainer(model, made.train, made.config, 1, context)

    def work() -> None:
        model.train()
        for _, step in prepared(trainer, made.train, batches, made.tags, (1, 0)):
            trainer.take(step, 0.1)

    return work


def _timed(work: Callable[[], None], device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak_mib(device: torch.device) -> int | None:
    return round(torch.cuda.max_memory_allocated(device) / 2**20) if device.type == "cuda" else None
