"""An epoch that updates the encoder against an epoch on its cached features."""

from __future__ import annotations

import time

import click

from bench.options import TINY, data_option, encoder_option, smoke_option
from bench.parts import bench_config, model_and_examples, training_pass
from bench.timing import interleaved, report
from tablert_dist.batching import training_batches
from tablert_dist.cpu import keep_pages
from tablert_dist.train.context import Examples, TrainContext
from tablert_dist.train.features import WordFeatures


@click.command()
@smoke_option(**TINY, batches=1, repeats=1)
@encoder_option
@data_option
@click.option("--batches", default=20, show_default=True, help="Batches of an epoch that are passed through.")
@click.option("--repeats", default=3, show_default=True)
def main(encoder: str, data: str, batches: int, repeats: int) -> None:
    """The same batches; `cache_s` is what the cache costs, once for a whole search."""
    keep_pages()
    config = bench_config(data__path=data)
    updated, train, tags = model_and_examples(config, encoder)
    frozen, _, _ = model_and_examples(bench_config(data__path=data, model__frozen=True), encoder)
    started = time.perf_counter()
    cached = Examples(
        train.sentences, WordFeatures(frozen.encoder, train.features, config.train.eval_cells, TrainContext().device)
    )  # type: ignore[arg-type]
    cache_s = time.perf_counter() - started
    drawn = training_batches(train.features.lengths, config.train.batch_size, False, 1, 0)[:batches]
    sides = [
        training_pass(module, model, examples, tags, config, drawn)
        for module, model, examples in ((updated, updated, train), (frozen.head, frozen, cached))
    ]
    found = interleaved(sides[0], sides[1], repeats)
    sentences = sum(len(batch) for batch in drawn)
    report(
        "frozen",
        {
            **found,
            "cache_s": round(cache_s, 1),
            "cached_sentences": len(train.sentences),
            "frozen_sentences_per_s": round(sentences / found["fast_s"], 1),
        },
    )


if __name__ == "__main__":
    main()
