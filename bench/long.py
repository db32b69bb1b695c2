"""Peak memory of one forward of the head on a long sentence of random word vectors."""

from __future__ import annotations

import time

import click
import torch

from bench.alone import alone
from bench.options import smoke_option
from bench.parts import peak_mib
from bench.timing import report
from tablert_dist.heads.cnn.module import TableHead


def measure(words: int, width: int, hidden: list[int], kernel: int) -> tuple[float, float]:
    """MiB of the peak, and seconds of the forward pass."""
    torch.manual_seed(0)
    head = TableHead(width, 17, 11, hidden, kernel).eval()
    vectors = torch.randn(1, words, width)
    mask = torch.ones(1, words, dtype=torch.bool)
    with torch.inference_mode():
        head(vectors[:, :8], mask[:, :8])
        started = time.perf_counter()
        peak = peak_mib(lambda: head(vectors, mask))
    return peak, time.perf_counter() - started


@click.command()
@smoke_option(words=96, width=32)
@click.option("--words", default=512, show_default=True)
@click.option("--width", default=768, show_default=True, help="Width of a word vector.")
@click.option("--hidden", default="512", show_default=True, help="Hidden channels, comma-separated.")
@click.option("--kernel", default=3, show_default=True)
def main(words: int, width: int, hidden: str, kernel: int) -> None:
    """`ratio` is the whole hidden table's size over the peak."""
    channels = [int(c) for c in hidden.split(",")]
    peak, seconds = alone(measure, words, width, channels, kernel)
    table = words**2 * channels[0] * 4 / 2**20
    report(
        "long",
        {
            "ratio": round(table / peak, 1),
            "peak_mib": round(peak),
            "hidden_table_mib": round(table),
            "forward_s": round(seconds, 2),
            "words": words,
        },
    )


if __name__ == "__main__":
    main()
