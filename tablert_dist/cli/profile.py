"""`tablert profile`: sentences a second, and where the time of a training step goes."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from tablert_dist.cli.common import config_options, plain_errors, set_up_logging, verb

if TYPE_CHECKING:
    from tablert_dist.config import Config


@verb(
    "Measure where the time of a training step goes, on this machine and data.",
    "tablert profile --config sample --steps 10",
)
@click.option(
    "--steps", default=30, show_default=True, type=click.IntRange(min=1), help="Steps measured, after 3 more."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON line instead of a table.")
@plain_errors
@config_options
def command(config: Config, steps: int, as_json: bool) -> None:
    """Nothing is written; the weights are thrown away."""
    set_up_logging()
    from tablert_dist.batching import training_batches
    from tablert_dist.train.evaluation import evaluate
    from tablert_dist.train.profiling import Stopwatch, timed_step
    from tablert_dist.train.trainer import make_optimizer
    from tablert_dist.train.worker import choose_context, examples_of, prepare

    context = choose_context(config)
    prepared = prepare(config, config.train.seeds[0])
    splits = examples_of(prepared, config, context)
    model, train = prepared.model, splits["train"]
    optimizer = make_optimizer(model.trainable, model, config.optim, context.device)
    batches: list[list[int]] = []
    while len(batches) < steps + 3:
        batches += training_batches(
            train.features.lengths, config.train.batch_size, config.train.bucket, config.train.seeds[0], len(batches)
        )
    watch = Stopwatch(context)
    sentences = 0
    for i, batch in enumerate(batches[: steps + 3]):
        if i == 3:
            watch.seconds.clear()
            sentences = 0
        timed_step(model, train, batch, prepared.tags, optimizer, config.optim.clip_norm, watch)
        sentences += len(batch)
    total = sum(watch.seconds.values())
    read = splits.get("dev", train)
    started = time.perf_counter()
    evaluate(model, read, prepared.tags, config.train.eval_cells, context)
    result = {
        "training_sentences_per_s": round(sentences / total, 1),
        "evaluation_sentences_per_s": round(len(read.sentences) / (time.perf_counter() - started), 1),
        "step_ms": round(1000 * total / steps, 1),
        "stages_ms": {name: round(1000 * s / steps, 1) for name, s in watch.seconds.items()},
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, seconds in watch.seconds.items():
        click.echo(f"{name:<18} {1000 * seconds / steps:8.1f} ms  {100 * seconds / total:5.1f} %")
    click.echo(f"{'a step':<18} {result['step_ms']:8.1f} ms  of {config.train.batch_size} sentences")
    click.echo(
        f"training {result['training_sentences_per_s']} sentences/s, "
        f"evaluation {result['evaluation_sentences_per_s']} sentences/s"
    )
