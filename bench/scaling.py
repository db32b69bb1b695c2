"""Scaling on paper: what the links allow 1 to 256 workers, from the real model's gradients and a measured step.

Nothing here has run on that many workers. Inputs: bytes of the real model, real sentence lengths and vocabulary, a
measured step; links at line rate. What comes out is an upper bound and says where scaling breaks.
"""

from __future__ import annotations

import ast
import heapq
import re
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bench.links import Links, Step, all_reduce, flat, hierarchical, simulate
from bench.options import TINY, data_option, encoder_option, smoke_option
from bench.parts import bench_config, model_and_examples
from bench.sources import BERT_BASE_SHAPE
from bench.timing import report
from tablert_dist.model import TableModel
from tablert_dist.tags import TagSet
from tablert_dist.train.context import Examples, TrainContext
from tablert_dist.train.profiling import Stopwatch, timed_step
from tablert_dist.train.trainer import make_optimizer

BENCHMARKS = Path(__file__).resolve().parent.parent / "BENCHMARKS.md"
WORKERS = (1, 8, 64, 256)
SHARE = 8
"""Sentences of a worker (weak scaling); also the paper's global batch (strong scaling)."""
COMMAND = {"packaged": "bench.train_step", BERT_BASE_SHAPE: "bench.train_step --encoder bert-base-shape --batches 3"}


class Load:
    """What the workers of a model and a corpus compute and send."""

    def __init__(self, model: TableModel, train: Examples, seed: int = 0) -> None:
        embeddings = model.encoder.transformer.get_input_embeddings().weight  # type: ignore[union-attr, operator]
        self.parameters = sum(p.numel() for p in model.parameters())
        self.dense = 4.0 * (self.parameters - embeddings.numel())
        self.width = int(embeddings.shape[1])
        self.train = train
        self.lengths = train.features.lengths
        self.mean = float(np.mean(self.lengths))
        self.generator = np.random.default_rng(seed)

    def batches(self, size: int, count: int) -> list[list[int]]:
        """Random batches as of a corpus of any size: sentences are drawn again once all were."""
        many = -(-size * count // len(self.lengths))
        order = np.concatenate([self.generator.permutation(len(self.lengths)) for _ in range(many)])
        return [order[i * size : (i + 1) * size].tolist() for i in range(count)]

    def shares(self, batch: list[int], workers: int) -> NDArray[np.float64]:
        """Each worker's words over those of SHARE average sentences, as the training divides them."""
        return divide([self.lengths[i] for i in batch], workers) / (SHARE * self.mean)

    def rows(self, batches: list[list[int]]) -> float:
        """Bytes of the embeddings' rows that a batch touches, mean."""
        counts = [len(self.train.features.subword_ids(sorted(set(batch)))) for batch in batches]
        return 4.0 * self.width * float(np.mean(counts))


def divide(lengths: list[int], workers: int) -> NDArray[np.float64]:
    """Words of each worker as `rank_share` divides a batch, for all workers at once."""
    heap = [(0, rank) for rank in range(workers)]
    for length in sorted(lengths, reverse=True):
        words, rank = heap[0]
        heapq.heapreplace(heap, (words + length, rank))
    found = np.zeros(workers)
    for words, rank in heap:
        found[rank] = words
    return found


def table(load: Load, step: Step, links: Links, steps: int, weak: bool) -> list[dict[str, Any]]:
    """A row for each number of workers."""
    found: list[dict[str, Any]] = []
    alone = 0.0
    for workers in WORKERS:
        batch = SHARE * workers if weak else SHARE
        drawn = load.batches(batch, steps)
        rows = load.rows(drawn[: min(steps, 20)]) if workers > 1 else 0.0
        dense = load.dense if workers > 1 else 0.0
        shares = [load.shares(one, workers) for one in drawn]
        seconds = simulate(step, shares, load.dense, rows, links) if workers > 1 else _alone(step, shares)
        alone = alone or seconds
        done = batch / seconds
        found.append(
            {
                "workers": workers,
                "batch": batch,
                "dense_mb": round(dense / 1e6, 1),
                "rows_mb": round(rows / 1e6, 2),
                "ring_ms": round(1000 * flat(workers, dense + rows, links), 2),
                "levels_ms": round(1000 * hierarchical(workers, dense + rows, links), 2),
                "straggler": round(float(np.mean([s.max() / s.mean() for s in shares])), 2),
                "step_ms": round(1000 * seconds, 1),
                "speed_up": round(done / (SHARE / alone), 2),
                "efficiency": round(done / (SHARE / alone) / workers, 3),
            }
        )
    return found


def _alone(step: Step, shares: list[NDArray[np.float64]]) -> float:
    """One worker sends nothing."""
    return float(np.mean([(step.forward + step.backward) * s[0] + step.update for s in shares]))


def trials(load: Load, step: Step, sentences: int) -> dict[str, Any]:
    """A search of 256 trials at once: nothing travels between trials, but each writes a checkpoint an epoch."""
    epoch = sentences / SHARE * step.seconds
    checkpoint = 12.0 * load.parameters  # weights, and AdamW's two moments
    return {
        "trials": WORKERS[-1],
        "efficiency": 1.0,
        "checkpoint_mb": round(checkpoint / 1e6),
        "epoch_s": round(epoch, 1),
        "storage_mb_per_s": round(WORKERS[-1] * checkpoint / epoch / 1e6),
    }


def recorded(encoder: str, jitter: float) -> Step:
    """The step in BENCHMARKS.md's row of `bench.train_step`: 8 sentences of CoNLL04 on its machine's CPU."""
    row = re.search(
        rf"^\| `python -m {COMMAND[encoder]}` .*stages_ms (\{{.*?\}})", BENCHMARKS.read_text("utf-8"), re.MULTILINE
    )
    if row is None:
        raise click.ClickException(f"{BENCHMARKS} has no row of {COMMAND[encoder]}: give --step-ms or --measure")
    stages = {name: ms / 1000 for name, ms in ast.literal_eval(row[1]).items()}
    backward = sum(seconds for name, seconds in stages.items() if name.endswith("backward"))
    return Step(sum(stages.values()) - backward - stages["optimiser"], backward, stages["optimiser"], jitter)


def measured(model: TableModel, train: Examples, tags: TagSet, repeats: int) -> Step:
    """One batch's step again and again on this machine: medians of the three parts, deviation of the whole."""
    config, place = bench_config(), TrainContext()
    optimizer = make_optimizer(model, model, config.optim, place.device)
    order = np.argsort(train.features.lengths)
    batch = [int(i) for i in order[len(order) // 2 - SHARE // 2 :][:SHARE]]
    parts: list[tuple[float, float, float]] = []
    for _ in range(repeats + 2):
        watch = Stopwatch(place)
        started = time.perf_counter()
        timed_step(model, train, batch, tags, optimizer, config.optim.clip_norm, watch)
        whole = time.perf_counter() - started
        backward = sum(s for name, s in watch.seconds.items() if name.endswith("backward"))
        parts.append((whole - backward - watch.seconds["optimiser"], backward, watch.seconds["optimiser"]))
    wholes = [sum(p) for p in parts[2:]]
    medians = [statistics.median(p[i] for p in parts[2:]) for i in range(3)]
    return Step(*medians, jitter=float(np.std(np.log(wholes))))


@click.command()
@smoke_option(**TINY, measure=True, repeats=1, steps=2)
@encoder_option
@data_option
@click.option(
    "--step-ms",
    type=float,
    default=None,
    help="A worker's step on 8 sentences, divided as measured; unset: as in BENCHMARKS.md, on a CPU.",
)
@click.option("--measure", is_flag=True, help="Take the step and its deviation from this machine's CPU, now.")
@click.option("--repeats", default=30, show_default=True, help="Steps that --measure times.")
@click.option("--jitter", default=0.05, show_default=True, help="Deviation of a step's time between equal shares.")
@click.option(
    "--network-gbits", default=100.0, show_default=True, help="Of a node, one direction; 100: AWS g5.48xlarge."
)
@click.option(
    "--inside-gbytes", default=300.0, show_default=True, help="Of a GPU, one direction; 300: NVLink of an A100."
)
@click.option("--gpus", default=8, show_default=True, help="In a node.")
@click.option("--latency-us", default=20.0, show_default=True, help="Of a message between nodes; a tenth inside one.")
@click.option("--steps", default=100, show_default=True, help="Simulated.")
def main(
    encoder: str, data: str, step_ms: float | None, measure: bool, repeats: int, jitter: float, network_gbits: float,
    inside_gbytes: float, gpus: int, latency_us: float, steps: int,
) -> None:  # fmt: skip
    """Print two tables, weak and strong scaling, and the search; the JSON line last."""
    model, train, tags = model_and_examples(bench_config(data__path=data), encoder)
    load = Load(model, train)
    step = measured(model, train, tags, repeats) if measure else recorded(encoder, jitter)
    if step_ms is not None:
        part = step_ms / 1000 / step.seconds
        step = replace(step, forward=part * step.forward, backward=part * step.backward, update=part * step.update)
    links = Links(network_gbits * 1e9 / 8, inside_gbytes * 1e9, gpus, latency_us * 1e-6, latency_us * 1e-7)
    print(
        f"{encoder}: {load.parameters / 1e6:.1f} M parameters; a worker's step {1000 * step.seconds:.0f} ms (deviation "
        f"{100 * step.jitter:.0f} %); nodes of {gpus}, {network_gbits:g} Gb/s between, {inside_gbytes:g} GB/s inside"
    )
    results = {}
    for name, weak in (("weak", True), ("strong", False)):
        results[name] = table(load, step, links, steps, weak)
        print(f"\n{name}: a global batch of {'8 a worker' if weak else 8}")
        for row in (results[name][0].keys(), *(row.values() for row in results[name])):
            print("  ".join(f"{value:>10}" for value in row))
    results["search"] = trials(load, step, len(train.sentences))
    print("\nsearch: " + ", ".join(f"{key} {value}" for key, value in results["search"].items()))
    rest = {"network_gbits": network_gbits, "inside_gbytes": inside_gbytes, "gpus": gpus, "encoder": encoder}
    alone = all_reduce(WORKERS[-1], load.dense, links)
    report(
        "scaling",
        {
            "ratio": results["weak"][-1]["efficiency"],
            "step_ms": round(1000 * step.seconds, 1),
            "jitter": round(step.jitter, 3),
            "all_reduce_256_ms": round(1000 * alone, 2),
            **rest,
            **results,
        },
    )


if __name__ == "__main__":
    main()
