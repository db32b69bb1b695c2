"""A training step with dense convolutions against ours, on real sentences; and our head's time over our encoder's."""

from __future__ import annotations

import statistics
import time

import click
import numpy as np

from bench.options import TINY, data_option, encoder_option, smoke_option
from bench.oracle import DenseHead, same_logits
from bench.parts import bench_config, model_and_examples
from bench.timing import report
from tablert_dist.batching import training_batches
from tablert_dist.cpu import keep_pages
from tablert_dist.model import TableModel
from tablert_dist.train.context import TrainContext
from tablert_dist.train.profiling import Stopwatch, timed_step
from tablert_dist.train.trainer import make_optimizer

HEAD = ("head forward", "loss", "head backward")
ENCODER = ("encoder forward", "encoder backward")


@click.command()
@smoke_option(**TINY, batches=1)
@click.option("--config", "preset", default="conll04", show_default=True)
@encoder_option
@data_option
@click.option("--batches", default=5, show_default=True, help="Random batches, each stepped once with either head.")
def main(preset: str, encoder: str, data: str, batches: int) -> None:
    """Both models have the same encoder, computed the same way: the ratio is the head's doing alone."""
    keep_pages()
    config = bench_config(preset, data__path=data)
    fast, train, tags = model_and_examples(config, encoder)
    slow = TableModel(fast.encoder, fast.head)
    slow.head = DenseHead(fast.head)
    context = TrainContext()
    drawn = training_batches(train.features.lengths, config.train.batch_size, False, 1, 0)[: batches + 1]
    with_words = train.features.inputs(drawn[0], context.device)
    same_logits(
        fast.head, slow.head, fast.encoder.eval()(*with_words).detach(), [train.features.lengths[i] for i in drawn[0]]
    )
    times: dict[str, list[float]] = {"slow": [], "fast": []}
    watches = {"slow": Stopwatch(context), "fast": Stopwatch(context)}
    optimizers = {
        "slow": make_optimizer(slow, slow, config.optim, context.device),
        "fast": make_optimizer(fast, fast, config.optim, context.device),
    }
    for i, batch in enumerate(drawn):
        for name, model in (("slow", slow), ("fast", fast)):
            watch = watches[name]
            if i == 1:  # the first batch warms up
                watch.seconds.clear()
            started = time.perf_counter()
            timed_step(model, train, batch, tags, optimizers[name], config.optim.clip_norm, watch)
            if i:
                times[name].append(time.perf_counter() - started)
    stages = watches["fast"].seconds
    slow_s, fast_s = (statistics.median(times[name]) for name in ("slow", "fast"))
    report(
        "train_step",
        {
            "ratio": round(slow_s / fast_s, 1),
            "slow_s": round(slow_s, 3),
            "fast_s": round(fast_s, 3),
            "head_over_encoder": round(sum(stages[s] for s in HEAD) / sum(stages[s] for s in ENCODER), 3),
            "sentences_per_s": round(config.train.batch_size * batches / float(np.sum(times["fast"])), 1),
            "stages_ms": {name: round(1000 * s / batches, 1) for name, s in stages.items()},
            "encoder": encoder,
        },
    )


if __name__ == "__main__":
    main()
