"""Batches of random sentences over a grid of lengths and sizes, for benches of exported graphs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.options import Decorator


def grid_options(repeats: int) -> Decorator:
    """Add `--checkpoint`, `--lengths`, `--batches`, `--threads` and `--repeats`."""

    def options(function: Callable[..., Any]) -> Callable[..., Any]:
        text = "A checkpoint of a TablERT-CNN model."
        for add in (
            click.option("--repeats", default=repeats, show_default=True),
            click.option("--threads", default=1, show_default=True),
            click.option("--batches", default="1,4,16", show_default=True, help="Sentences of a batch."),
            click.option(
                "--lengths", default="10,30,80", show_default=True, help="Words of a batch's longest sentence."
            ),
            click.option("--checkpoint", type=click.Path(path_type=Path), required=True, help=text),
        ):
            function = add(function)
        return function

    return options


def random_inputs(words: int, batch: int, vocabulary: int) -> dict[str, Any]:
    """A batch of `batch` sentences, all but the first shorter than `words`, a third of their words of two subwords."""
    rng = np.random.default_rng(words)
    subwords = words + words // 3 + 2
    ids = rng.integers(1, vocabulary, (batch, subwords))
    mask, pieces = np.ones((batch, subwords), np.int64), np.full((batch, words, 2), -1, np.int64)
    two = np.arange(words) < words // 3
    first = 1 + np.arange(words) + np.minimum(np.arange(words), words // 3)
    for b in range(batch):
        kept = words if b == 0 else int(rng.integers(words // 2, words + 1))
        pieces[b, :kept, 0] = first[:kept]
        pieces[b, :kept, 1] = np.where(two, first + 1, -1)[:kept]
        mask[b, int(pieces[b].max()) + 2 :] = 0
    return {"input_ids": ids * mask, "attention_mask": mask, "word_subwords": pieces}
