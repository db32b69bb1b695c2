"""A training step of conll04-plus against one of conll04: what its additions cost."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from bench.options import TINY, data_option, encoder_option, smoke_option
from bench.parts import bench_config, model_and_examples, training_pass
from bench.timing import interleaved, report
from tablert_dist.batching import training_batches
from tablert_dist.config import Config
from tablert_dist.cpu import keep_pages
from tablert_dist.train.context import Examples
from tablert_dist.train.evaluation import evaluate


@click.command()
@smoke_option(**TINY, batches=1, repeats=1)
@encoder_option
@data_option
@click.option("--batches", default=8, show_default=True, help="Batches that are passed through.")
@click.option("--repeats", default=5, show_default=True)
def main(encoder: str, data: str, batches: int, repeats: int) -> None:
    """The same batches through both, the encoder updated; then the development split through both."""
    keep_pages()
    _, dev, _ = model_and_examples(bench_config(data__path=data), encoder, "dev")
    sides = (_sides(bench_config(name, data__path=data), encoder, batches, dev) for name in ("conll04-plus", "conll04"))
    steps, reads, heads = zip(*sides, strict=True)
    started = time.perf_counter()
    trained = interleaved(steps[0], steps[1], repeats)
    read = interleaved(reads[0], reads[1], max(1, repeats // 2))
    report(
        "plus",
        {
            "ratio": trained["ratio"],
            "evaluation_ratio": read["ratio"],
            "head_parameters": dict(zip(("plus", "paper"), heads, strict=True)),
            "seconds": round(time.perf_counter() - started),
        },
    )


def _sides(
    config: Config, encoder: str, batches: int, dev: Examples
) -> tuple[Callable[[], object], Callable[[], object], int]:
    """A few steps of training, a pass over the development split, and the head's parameters."""
    model, train, tags = model_and_examples(config, encoder)
    drawn = training_batches(train.features.lengths, config.train.batch_size, False, 1, 0)[:batches]

    def read() -> None:
        evaluate(model, dev, tags, config.train.eval_cells)

    return (
        training_pass(model, model, train, tags, config, drawn),
        read,
        sum(p.numel() for p in model.head.parameters()),
    )


if __name__ == "__main__":
    main()
