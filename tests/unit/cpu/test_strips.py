"""Row strips against the plain sums over the table (docs/concepts.md#table-and-convolutions): outputs and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tablert_dist.cpu import strips
from tablert_dist.heads.cnn.tap_conv import gather_taps

LENGTHS, C, R = [5, 1, 9, 2, 3], 7, 4


def slow(row: Tensor, column: Tensor, bias: Tensor, weight: Tensor, keep: Tensor | None) -> list[Tensor]:
    """Every cell, every tap, one sentence after the other."""
    K = row.shape[1]
    found = []
    for b, (r, c) in enumerate(zip(row.split(LENGTHS), column.split(LENGTHS), strict=True)):
        n = len(r)
        inside = torch.tensor([[float(0 <= j + w - K // 2 < n) for w in range(K)] for j in range(n)]).to(r)
        hidden = torch.einsum("iwc,jw->ijc", r, inside) + torch.einsum("jhc,ih->ijc", c, inside) + bias
        hidden = hidden.relu() * (1 if keep is None else keep[b])
        found.append(gather_taps((hidden @ weight.t())[None], K)[0])
    return found


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("cells", [1, 40, 10_000])
@pytest.mark.parametrize("dropped", [False, True])
def test_strips_equal_the_whole_table(kernel: int, cells: int, dropped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "STRIP_CELLS", cells)
    torch.manual_seed(0)
    shapes = ((sum(LENGTHS), kernel, C), (sum(LENGTHS), kernel, C), (C,), (kernel**2 * R, C))
    given = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    keep = (torch.rand(len(LENGTHS), C) > 0.4).double() / 0.6 if dropped else None
    if keep is not None:
        keep[1] = 0.0  # of few channels dropout may keep none
    gradients = []
    upper = [torch.ones(n, n, dtype=torch.bool).triu() for n in LENGTHS]
    outputs = [
        torch.cat([table[cell] for table, cell in zip(tables, upper, strict=True)])
        for tables in (strips.table_logits(*given, keep, LENGTHS), slow(*given, keep))
    ]
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-10, rtol=1e-10)
    probe = torch.randn_like(outputs[1])
    for output in outputs:
        gradients.append(torch.autograd.grad((output * probe).sum(), given))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)
