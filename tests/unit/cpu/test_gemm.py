"""The two libraries behind one linear layer give the same, and choosing one of them disturbs nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tablert_dist.cpu import gemm


@pytest.mark.parametrize("rows", [1, 17, 300])
@pytest.mark.parametrize("biased", [False, True])
def test_linear_equals_torch(rows: int, biased: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not gemm._works():
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(gemm, "onednn_is_faster", lambda: True)
    calls = []
    onednn = gemm._onednn
    monkeypatch.setattr(gemm, "_onednn", lambda *a: calls.append(1) or onednn(*a))
    torch.manual_seed(0)
    given = [torch.randn(2, rows, 24), torch.randn(40, 24), torch.randn(40)]
    found = []
    for function in (gemm.linear, F.linear):
        x, weight, bias = (t.clone().requires_grad_() for t in given)
        y = function(x, weight, bias if biased else None)
        (y * torch.linspace(-1, 1, 40)).sum().backward()
        found.append([y, x.grad, weight.grad, *([bias.grad] if biased else [])])
    assert len(calls) == 3, "forward and two gradients went the other way"
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_the_choice_leaves_random_numbers_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    gemm.onednn_is_faster.cache_clear()
    gemm.onednn_is_faster()
    torch.testing.assert_close(torch.rand(4), expected, atol=0, rtol=0)


def test_other_types_take_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemm, "onednn_is_faster", lambda: True)
    layer = nn.Sequential(nn.Linear(3, 2)).double()
    gemm.speed_up(layer)
    x = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(layer(x), F.linear(x, layer[0].weight, layer[0].bias))
    assert list(layer.state_dict()) == ["0.weight", "0.bias"]
    empty = gemm.linear(torch.randn(0, 3), torch.randn(2, 3))
    assert empty.shape == (0, 2)
