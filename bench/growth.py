"""How the head's training step grows with the words of a sentence: the exponent between 32 and 256."""

from __future__ import annotations

import statistics
import time

import click
import numpy as np
import torch

from bench.options import smoke_option
from bench.timing import report
from tablert_dist.cpu import keep_pages
from tablert_dist.heads.cnn.module import TableHead


@click.command()
@smoke_option(width=32, repeats=1)
@click.option("--width", default=384, show_default=True)
@click.option("--repeats", default=5, show_default=True)
def main(width: int, repeats: int) -> None:
    """Forward and backward of one sentence, Table 5's head."""
    keep_pages()
    torch.manual_seed(0)
    head = TableHead(width, 17, 11).train()
    lengths = [32, 64, 128, 256]
    times: dict[int, list[float]] = {n: [] for n in lengths}
    for repeat in range(repeats + 1):
        for n in lengths:
            vectors = torch.randn(1, n, width, requires_grad=True)
            started = time.perf_counter()
            entity, relation = head(vectors, torch.ones(1, n, dtype=torch.bool))
            (entity.sum() + torch.diagonal(relation, 1, 1, 2).sum()).backward()
            if repeat:
                times[n].append(time.perf_counter() - started)
    medians = {n: statistics.median(found) for n, found in times.items()}
    exponent = float(np.polyfit(np.log(lengths), np.log([medians[n] for n in lengths]), 1)[0])
    slope = np.log(medians[256] / medians[128]) / np.log(2)
    report(
        "growth",
        {
            "ratio": round(exponent, 2),
            "slow_s": round(medians[256], 4),
            "fast_s": round(medians[32], 4),
            "exponent": round(exponent, 2),
            "exponent_128_to_256": round(float(slope), 2),
            "seconds": {str(n): round(s, 4) for n, s in medians.items()},
        },
    )


if __name__ == "__main__":
    main()
