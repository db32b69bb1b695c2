"""Sentences a second of two workers with one thread each against one worker with one thread, same global batch."""

from __future__ import annotations

import json
import os
import socket
import statistics
import tempfile
import time
from pathlib import Path

import click
import torch
from torch import distributed as dist
from torch import multiprocessing

from bench.alone import START, prepare
from bench.options import TINY, data_option, encoder_option, smoke_option
from bench.parts import bench_config, model_and_examples
from bench.timing import report
from tablert_dist.batching import rank_share, training_batches
from tablert_dist.cpu import keep_pages
from tablert_dist.train.context import TrainContext
from tablert_dist.train.parallel import Parallel
from tablert_dist.train.step import backward
from tablert_dist.train.trainer import make_optimizer

WARM_UP = 2


def _worker(rank: int, world: int, port: int, encoder: str, data: str, batches: int, size: int, out: str) -> None:
    torch.set_num_threads(1)
    keep_pages()
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    if world > 1:
        dist.init_process_group("gloo", rank=rank, world_size=world)
    context = TrainContext(rank, world)
    config = bench_config(data__path=data)
    model, train, tags = model_and_examples(config, encoder)
    model.train()
    parallel = Parallel(model, model, world)
    optimizer = make_optimizer(model, model, config.optim, context.device)
    drawn = training_batches(train.features.lengths, size, False, 1, 0)[: batches + WARM_UP]
    passing = updating = 0.0
    for i, batch in enumerate(drawn):
        if i == WARM_UP:
            passing = updating = 0.0
        started = time.perf_counter()
        backward(parallel.module, train, rank_share(batch, train.features.lengths, rank, world), tags, 1, context)
        parallel.reduce(parallel.rows_of(train.features, batch))
        passed = time.perf_counter()
        passing += passed - started
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        updating += time.perf_counter() - passed
    if rank == 0:
        Path(out).write_text(json.dumps([passing, updating]), encoding="utf-8")
    if world > 1:
        dist.destroy_process_group()
        os._exit(0)  # gloo's threads abort the interpreter's exit now and then


def _seconds(world: int, encoder: str, data: str, batches: int, size: int, folder: str) -> list[float]:
    """Of the passes, communication included, and of the updates (clipping and AdamW)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = f"{folder}/{world}.txt"
    prepare()
    arguments = (world, port, encoder, data, batches, size, out)
    multiprocessing.start_processes(_worker, arguments, nprocs=world, start_method=START)  # type: ignore[no-untyped-call]
    return list(json.loads(Path(out).read_text(encoding="utf-8")))


@click.command()
@smoke_option(**TINY, batches=1, repeats=1)
@encoder_option
@data_option
@click.option("--batches", default=15, show_default=True)
@click.option("--batch", "size", default=8, show_default=True, help="Sentences in a global batch.")
@click.option("--repeats", default=3, show_default=True)
def main(encoder: str, data: str, batches: int, size: int, repeats: int) -> None:
    """In turn, each in processes of its own; starting them is not counted."""
    times: dict[int, list[list[float]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats):
            for world, found in times.items():
                found.append(_seconds(world, encoder, data, batches, size, folder))
    one, two = (statistics.median(sum(parts) for parts in found) for found in times.values())
    steps = {
        f"{name}_ms_{world}": round(1000 * statistics.median(parts[i] for parts in found) / batches, 1)
        for world, found in times.items()
        for i, name in enumerate(("pass", "update"))
    }
    facts = {"slow_s": round(one, 2), "fast_s": round(two, 2), "batches": batches, "batch": size}
    report("ddp", {"ratio": round(one / two, 2), **facts, **steps})


if __name__ == "__main__":
    main()
