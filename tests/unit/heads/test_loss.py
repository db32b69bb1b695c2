"""The loss's options against formulas written out, and that they are off by default."""

from __future__ import annotations

import math
from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from tablert_dist.config import ModelConfig
from tablert_dist.gpu import gpu_path
from tablert_dist.heads.cnn.module import FARTHEST, TableHead
from tablert_dist.heads.spert.module import SpertHead
from tablert_dist.heads.table_loss import table_loss
from tablert_dist.model.model import build_head
from tablert_dist.tags import IGNORE, TagSet
from tests.support.tiny import SCHEMA


def batch() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    entity, relation = torch.randn(2, 4, 5), torch.randn(2, 4, 4, 3, requires_grad=True)
    tags, cells = torch.randint(0, 5, (2, 4)), torch.randint(0, 3, (2, 4, 4))
    cells[:, ~torch.triu(torch.ones(4, 4, dtype=torch.bool), 1)] = IGNORE
    tags[1, 3] = IGNORE
    return entity, relation, tags, cells


@pytest.mark.parametrize("path", ["cpu", "gpu"])
@pytest.mark.parametrize(("focal", "weight"), [(0.0, 1.0), (2.0, 1.0), (0.0, 2.0), (1.5, 0.5)])
def test_focal_loss_and_weights_are_the_formula(focal: float, weight: float, path: str) -> None:
    entity, relation, tags, cells = batch()
    expected = F.cross_entropy(entity.flatten(0, 1), tags.flatten(), ignore_index=IGNORE, reduction="sum")
    for b, i, j in (cells != IGNORE).nonzero().tolist():
        gold = int(cells[b, i, j])
        p = relation[b, i, j].softmax(-1)[gold]
        expected = expected - (weight if gold else 1.0) * (1 - p) ** focal * p.log()
    with gpu_path() if path == "gpu" else nullcontext():
        found = table_loss(entity, relation, tags, cells, focal, weight)
        halved = table_loss(entity.half(), relation.half(), tags, cells, focal, weight)
    assert found.shape == () and halved.dtype == torch.float32, "summed in fp32, whatever the logits are in"
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found, relation)
    assert torch.isfinite(gradient).all()


def spert_loss_by_hand(
    types: torch.Tensor, relations: torch.Tensor, gold: list[int], labels: list[list[int]], way: str
) -> float:
    """One sentence: the mean over spans of −log softmax, and the mean over pairs of the mean, or sum, over relation types."""
    spans = [-float(row.softmax(-1)[tag].log()) for row, tag in zip(types, gold, strict=True)]
    pairs = []
    for row, label in zip(relations, labels, strict=True):
        sure = [float(p) if there else 1 - float(p) for p, there in zip(row.sigmoid(), label, strict=True)]
        pairs.append(-sum(math.log(p) for p in sure) / (len(sure) if way == "mean" else 1))
    return sum(spans) / len(spans) + sum(pairs) / len(pairs)


@pytest.mark.parametrize("way", ["mean", "sum"])
def test_sperts_relation_loss_is_the_mean_over_pairs_of_their_mean_or_sum_over_types(way: str) -> None:
    torch.manual_seed(0)
    types, relations = torch.randn(2, 3, 4), torch.randn(2, 2, 5)
    gold = torch.tensor([[0, 3, 1], [2, IGNORE, IGNORE]])
    labels = torch.tensor([[[0, 1, 0, 0, 1], [0, 0, 0, 0, 0]], [[1, 0, 0, 0, 0], [IGNORE] * 5]])
    head = SpertHead(4, 3, 5, relation_loss=way)
    found = head.loss((types, relations), {"span_types": gold, "pair_labels": labels})
    first = spert_loss_by_hand(types[0], relations[0], [0, 3, 1], labels[0].tolist(), way)
    second = spert_loss_by_hand(types[1, :1], relations[1, :1], [2], labels[1, :1].tolist(), way)
    assert float(found) == pytest.approx(first + second, rel=1e-5), "padding counts nothing; sentences add up"


def test_a_cell_that_is_certain_has_a_finite_gradient() -> None:
    relation = torch.tensor([[[[0.0, 0.0], [90.0, -90.0]], [[0.0, 0.0], [0.0, 0.0]]]], requires_grad=True)
    cells = torch.tensor([[[IGNORE, 0], [IGNORE, IGNORE]]])
    table_loss(torch.zeros(1, 2, 3), relation, torch.zeros(1, 2, dtype=torch.int64), cells, 0.5).backward()
    assert relation.grad is not None and torch.isfinite(relation.grad).all()


def test_the_papers_loss_is_the_default() -> None:
    config = ModelConfig()
    assert (config.focal, config.relation_weight, config.cnn.distance, config.cnn.decoding) == (
        0.0,
        1.0,
        False,
        "argmax",
    )
    assert config.cnn.bilinear == 0
    entity, relation, tags, cells = batch()
    head = build_head(config, 6, TagSet(SCHEMA))
    plain = table_loss(entity, relation, tags, cells)
    assert torch.equal(head.loss((entity, relation), {"entity_tags": tags, "relation_tags": cells}), plain)
    changed = build_head(ModelConfig(focal=1.0, relation_weight=2.0), 6, TagSet(SCHEMA))
    found = changed.loss((entity, relation), {"entity_tags": tags, "relation_tags": cells})
    assert torch.equal(found, table_loss(entity, relation, tags, cells, 1.0, 2.0)) and found != plain


def test_a_bias_by_distance_is_added_to_the_table_alike_in_both_ways() -> None:
    torch.manual_seed(0)
    head = TableHead(6, 9, 5, [8], distance=True).eval()
    words, mask = torch.randn(1, FARTHEST + 5, 6), torch.ones(1, FARTHEST + 5, dtype=torch.bool)
    before = head(words, mask)[1]
    with torch.no_grad():
        head.distance.weight.copy_(torch.randn(FARTHEST + 1, 5))
        added = head(words, mask)[1] - before
    for i, j in ((0, 0), (0, 1), (3, 10), (2, FARTHEST + 2), (0, FARTHEST + 4)):
        expected = head.distance.weight[min(j - i, FARTHEST)]
        torch.testing.assert_close(added[0, i, j], expected, atol=1e-5, rtol=1e-4)
    upper = torch.triu(torch.ones(FARTHEST + 5, FARTHEST + 5, dtype=torch.bool))
    with_bias = (head.table(words, mask)[0] + added)[0]
    torch.testing.assert_close(with_bias[upper], head(words, mask)[1][0][upper], atol=1e-4, rtol=1e-4)


def test_a_bilinear_score_adds_nothing_at_the_start_learns_and_depends_on_its_sentence_alone() -> None:
    torch.manual_seed(0)
    head = TableHead(6, 9, 5, [8], bilinear=3, none_bias=1.0, dropout=0.0)
    words, mask = torch.randn(2, 7, 6), torch.ones(2, 7, dtype=torch.bool)
    mask[1, 4:] = False
    before = head(words, mask)[1]
    torch.testing.assert_close(before[0], head.table(words, mask)[0][0])
    before.sum().backward()
    assert head.bilinear is not None and head.bilinear.column.weight.grad is not None
    assert head.bilinear.column.weight.grad.abs().sum() > 0
    with torch.no_grad():
        for parameter in head.bilinear.parameters():
            torch.nn.init.normal_(parameter)
        found = head(words, mask)[1]
        one = head(words[1:, :4], mask[1:, :4])[1]
        row = (head.bilinear.row(words[0, 2])).view(5, 3)
        column = (head.bilinear.column(words[0, 5])).view(5, 3)
    torch.testing.assert_close(found[1, :4, :4], one[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[0, 2, 5] - before[0, 2, 5], (row * column).sum(1) / 3**0.5, atol=1e-5, rtol=1e-4)
