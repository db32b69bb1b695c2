"""Matrix products on the CPU by the faster of torch's two libraries.

torch multiplies fp32 matrices with MKL, which on CPUs of other makers does not use AVX-512; oneDNN, which torch has on
board for convolutions, does. On an AMD EPYC with two threads that is 190 against 400 GFLOP/s (`python -m bench.gemm`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tablert_dist.gpu import on_cpu_path


@cache
def onednn_is_faster() -> bool:
    """Decided from the CPU model, not by timing, so that a machine always picks the same kernel and runs stay reproducible."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not torch.backends.mkldnn.is_available():
        return False
    try:
        intel = "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return not intel and _works()


def spare_rows(rows: int) -> int:
    """Rows to add to a product of `rows` rows, 0 … 15: oneDNN compiles a kernel for every new size and keeps the last 1024.

    Sizes in steps of 16 come back; all the sizes of random batches do not (a fifth of the head's time).
    """
    return -rows % 16 if onednn_is_faster() else 0


def linear(x: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """As `F.linear`, with its gradients."""
    if not _usable(x, weight_NK):
        return F.linear(x, weight_NK, bias_N)
    flat: Tensor = _Linear.apply(x.reshape(-1, x.shape[-1]), weight_NK, bias_N)  # type: ignore[no-untyped-call]
    return flat.view(*x.shape[:-1], -1)


class FastLinear(nn.Linear):
    """`nn.Linear` by `linear`; made from one in place by `speed_up`."""

    def forward(self, input: Tensor) -> Tensor:
        """As `nn.Linear`."""
        return linear(input, self.weight, self.bias)


def speed_up(module: nn.Module) -> None:
    """Let every plain `nn.Linear` inside compute by `linear`. Weights, names and results stay."""
    for part in module.modules():
        if type(part) is nn.Linear:
            part.__class__ = FastLinear


def _usable(x: Tensor, weight: Tensor) -> bool:
    return (
        on_cpu_path(x)
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and onednn_is_faster()
    )


def _onednn(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    # The operator that torch.compile writes for a linear layer on a CPU; eager torch has no public name for it (torch 2.13).
    # `_works` tries it; where it is gone, `F.linear` computes.
    result: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
    return result


def _works() -> bool:
    # Not random: the state of the generator belongs to the training.
    a, b, bias = torch.linspace(-1, 1, 35).view(5, 7), torch.linspace(-2, 1, 21).view(7, 3), torch.arange(3.0)
    try:
        return torch.allclose(_onednn(a, b.t(), bias), a @ b + bias, atol=1e-4)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return _onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        for_x, for_weight, for_bias = ctx.needs_input_grad
        return (
            _onednn(gradient, weight.t(), None) if for_x else None,
            _onednn(gradient.t(), x.t(), None) if for_weight else None,
            gradient.sum(0) if for_bias else None,
        )
