"""On a GPU: the head and the whole model give what they give on the CPU. Imports neither Ray nor MLflow."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tablert_dist.loop import train_epochs
from tablert_dist.model.tablert_cnn import TableHead
from tablert_dist.step import Place
from tests.test_loop import TAGS, make, weights

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.mark.parametrize("hidden", [[], [64], [64, 32]])
def test_the_head_is_the_same(hidden: list[int]) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    head = TableHead(48, 9, 5, hidden, 3).eval()
    words, mask = torch.randn(3, 30, 48), torch.arange(30)[None] < torch.tensor([30, 7, 1])[:, None]
    expected = head(words, mask)
    found = head.cuda()(words.cuda(), mask.cuda())
    cells = torch.triu(torch.ones(30, 30, dtype=torch.bool)) & mask[:, :, None] & mask[:, None, :]
    torch.testing.assert_close(found[0].cpu()[mask], expected[0][mask], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[1].cpu()[cells], expected[1][cells], atol=1e-4, rtol=1e-4)


def test_training_is_the_same_without_dropout(tiny_encoder: str, tmp_path: Path) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    losses = []
    for device in ("cpu", "cuda"):
        model, train, config = make(tiny_encoder, tmp_path / device, **{"model.dropout": 0.0})
        place = Place(device=torch.device(device))
        losses.append([r.loss_per_sentence for r in train_epochs(model.to(device), train, TAGS, config, 1, place)])
        assert weights(model)
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
