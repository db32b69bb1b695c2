"""Peak memory of a training step above the model's own: dense convolutions against ours, real lengths."""

from __future__ import annotations

import click

from bench.alone import alone
from bench.options import TINY, data_option, encoder_option, smoke_option
from bench.oracle import DenseHead
from bench.parts import bench_config, model_and_examples, peak_mib
from bench.timing import report
from tablert_dist.batching import training_batches
from tablert_dist.train.context import TrainContext
from tablert_dist.train.profiling import Stopwatch, timed_step
from tablert_dist.train.trainer import make_optimizer


def measure(dense: bool, encoder: str, data: str, batches: int) -> float:
    """Highest rise over a few batches, once weights, gradients and the optimiser's state are there."""
    config = bench_config(data__path=data)
    model, train, tags = model_and_examples(config, encoder)
    if dense:
        model.head = DenseHead(model.head)
    context = TrainContext()
    optimizer = make_optimizer(model, model, config.optim, context.device)
    shortest = min(range(len(train.features.lengths)), key=lambda i: train.features.lengths[i])
    drawn = training_batches(train.features.lengths, config.train.batch_size, False, 1, 0)[:batches]

    def step(batch: list[int]) -> None:
        timed_step(model, train, batch, tags, optimizer, config.optim.clip_norm, Stopwatch(context))

    step([shortest])
    return max(peak_mib(lambda batch=batch: step(batch)) for batch in drawn)  # type: ignore[misc]


@click.command()
@smoke_option(**TINY, batches=1)
@encoder_option
@data_option
@click.option("--batches", default=3, show_default=True)
def main(encoder: str, data: str, batches: int) -> None:
    """Each side in a process of its own: memory once taken is seldom given back."""
    found = {side: alone(measure, side == "dense", encoder, data, batches) for side in ("dense", "ours")}
    ratio = found["dense"] / found["ours"]
    report("memory", {"ratio": round(ratio, 1), "slow_mib": round(found["dense"]), "fast_mib": round(found["ours"])})


if __name__ == "__main__":
    main()
