"""A linear layer's forward and backward by torch's MKL against oneDNN, in the sizes of the packaged encoder's layers."""

from __future__ import annotations

from unittest import mock

import click
import torch
from torch.nn import functional as F  # noqa: N812

from bench.options import smoke_option
from bench.timing import interleaved, report
from tablert_dist.cpu import gemm, keep_pages

SIZES = ((384, 384), (384, 1536), (1536, 384), (1152, 1536))


@click.command()
@smoke_option(rows=16, repeats=1)
@click.option("--rows", default=288, show_default=True, help="Subwords of a batch.")
@click.option("--repeats", default=9, show_default=True)
def main(rows: int, repeats: int) -> None:
    """One encoder layer's products and the head's first, after each size's kernel is made."""
    keep_pages()
    inputs = [
        (torch.randn(rows, k, requires_grad=True), torch.randn(n, k, requires_grad=True), torch.randn(rows, n))
        for k, n in SIZES
    ]

    def run(fast: bool) -> None:
        for x, weight, gradient in inputs:
            (gemm.linear if fast else F.linear)(x, weight).backward(gradient)
            x.grad = weight.grad = None

    works = gemm._works()
    with mock.patch.object(gemm, "onednn_is_faster", lambda: works):
        found = interleaved(lambda: run(False), lambda: run(True), repeats)
    operations = sum(6 * rows * k * n for k, n in SIZES)
    report(
        "gemm",
        {
            **found,
            "chosen_here": "oneDNN" if gemm.onednn_is_faster() else "MKL",
            "mkl_gflops": round(operations / found["slow_s"] / 1e9),
            "onednn_gflops": round(operations / found["fast_s"] / 1e9),
        },
    )


if __name__ == "__main__":
    main()
