"""Peak memory of a training step above the model's own: dense convolutions against ours, real lengths."""

from __future__ import annotations

import json
import subprocess
import sys

import click

from bench.oracle import DenseHead
from bench.parts import bench_config, model_and_examples, peak_mib
from bench.timing import report
from tablert_dist.batching import training_batches
from tablert_dist.loop import make_optimizer
from tablert_dist.stages import Stopwatch, timed_step
from tablert_dist.step import Place

BATCHES = 3


def measure(dense: bool) -> float:
    """Highest rise over a few batches, once weights, gradients and the optimiser's state are there."""
    config = bench_config()
    model, train, tags = model_and_examples(config, "packaged")
    if dense:
        model.head = DenseHead(model.head)
    place = Place()
    optimizer = make_optimizer(model, model, config.optim, place.device)
    shortest = min(range(len(train.features.lengths)), key=lambda i: train.features.lengths[i])
    drawn = training_batches(train.features.lengths, config.train.batch_size, False, 1, 0)[:BATCHES]

    def step(batch: list[int]) -> None:
        timed_step(model, train, batch, tags, optimizer, config.optim.clip_norm, Stopwatch(place))

    step([shortest])
    return max(peak_mib(lambda batch=batch: step(batch)) for batch in drawn)  # type: ignore[misc]


@click.command()
@click.option("--only", type=click.Choice(["dense", "ours"]), default=None, help="One side, in this process.")
def main(only: str | None) -> None:
    """Each side in a process of its own: memory once taken is seldom given back."""
    if only:
        print(json.dumps(measure(only == "dense")))
        return
    found = {}
    for side in ("dense", "ours"):
        words = [sys.executable, "-m", "bench.memory", "--only", side]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        found[side] = float(done.stdout.strip().splitlines()[-1])
    ratio = found["dense"] / found["ours"]
    report("memory", {"ratio": round(ratio, 1), "slow_mib": round(found["dense"]), "fast_mib": round(found["ours"])})


if __name__ == "__main__":
    main()
