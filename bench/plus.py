"""A training step of conll04-plus against one of conll04: what its additions cost."""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import torch

from bench.parts import bench_config, model_and_examples
from bench.timing import interleaved, report
from tablert_dist.allocator import keep_pages
from tablert_dist.batching import training_batches
from tablert_dist.loop import evaluate, make_optimizer
from tablert_dist.step import Place, backward


@click.command()
@click.option("--batches", default=8, show_default=True, help="Batches that are passed through.")
@click.option("--repeats", default=5, show_default=True)
def main(batches: int, repeats: int) -> None:
    """The same batches through both, the encoder updated; then the development split through both."""
    keep_pages()
    steps, reads, heads = zip(*(_sides(preset, batches) for preset in ("conll04-plus", "conll04")), strict=True)
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


def _sides(preset: str, batches: int) -> tuple[Callable[[], object], Callable[[], object], int]:
    """A few steps of training, a pass over the development split, and the head's parameters."""
    config = bench_config(preset)
    model, train, tags = model_and_examples(config, "packaged")
    _, dev, _ = model_and_examples(config, "packaged", "dev")
    optimizer = make_optimizer(model, model, config.optim, Place().device)
    drawn = training_batches(train.features.lengths, config.train.batch_size, False, 1, 0)[:batches]

    def step() -> None:
        model.train()
        for batch in drawn:
            backward(model, train, batch, tags, grouped=not model.encoder.packs)
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip_norm)
            optimizer.step()
            optimizer.zero_grad()

    def read() -> None:
        evaluate(model, dev, tags, config.train.eval_cells)

    return step, read, sum(p.numel() for p in model.head.parameters())


if __name__ == "__main__":
    main()
