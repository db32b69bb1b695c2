"""A linear layer's forward and backward by torch's MKL against oneDNN, in the sizes of the packaged encoder's layers."""

from __future__ import annotations

import torch
from torch.nn import functional as F  # noqa: N812

from bench.timing import interleaved, report
from tablert_dist.allocator import keep_pages
from tablert_dist.model import gemm

SIZES = ((384, 384), (384, 1536), (1536, 384), (1152, 1536))
ROWS = 288


def main() -> None:
    """One encoder layer's products and the head's first, after each size's kernel is made."""
    keep_pages()
    works = gemm._works()
    if works:
        gemm.onednn_is_faster = lambda: True  # type: ignore[assignment]
    inputs = [
        (torch.randn(ROWS, k, requires_grad=True), torch.randn(n, k, requires_grad=True), torch.randn(ROWS, n))
        for k, n in SIZES
    ]

    def run(fast: bool) -> None:
        for x, weight, gradient in inputs:
            (gemm.linear if fast else F.linear)(x, weight).backward(gradient)
            x.grad = weight.grad = None

    found = interleaved(lambda: run(False), lambda: run(works), 9)
    gemm.onednn_is_faster = cached  # type: ignore[assignment]
    operations = sum(6 * ROWS * k * n for k, n in SIZES)
    report(
        "gemm",
        {
            **found,
            "chosen_here": "oneDNN" if gemm.onednn_is_faster() else "MKL",
            "mkl_gflops": round(operations / found["slow_s"] / 1e9),
            "onednn_gflops": round(operations / found["fast_s"] / 1e9),
        },
    )


cached = gemm.onednn_is_faster

if __name__ == "__main__":
    main()
