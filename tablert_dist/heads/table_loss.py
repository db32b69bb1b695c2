"""The training loss: cross-entropies summed over words and over cells i < j (paper eqs. 7 and 8), never a mean."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from tablert_dist.gpu import on_cpu_path
from tablert_dist.tags import IGNORE


def table_loss(
    entity_BNE: Tensor,
    relation_BNNR: Tensor,
    entity_tags_BN: Tensor,
    relation_tags_BNN: Tensor,
    focal: float = 0.0,
    relation_weight: float = 1.0,
) -> Tensor:
    """A scalar: the sum over the batch. Targets are tag ids, IGNORE where there is no loss.

    `focal`: a cell's relation loss times (1 − p)^focal, p the probability of its gold tag (Lin et al. 2017), so that what
    is known already counts less; `relation_weight`: of the cells whose gold tag is a relation. The paper has neither.
    """
    entity = F.cross_entropy(
        entity_BNE.flatten(0, 1).float(), entity_tags_BN.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    cells, gold = relation_BNNR.flatten(0, 2), relation_tags_BNN.flatten()
    if on_cpu_path(gold):
        # More than half of the cells have no gold. On a GPU all are computed: to know how many have, the host would wait.
        chosen = gold != IGNORE
        cells, gold = cells[chosen], gold[chosen]
    cells = cells.float()
    if not focal and relation_weight == 1.0:
        return entity + F.cross_entropy(cells, gold, ignore_index=IGNORE, reduction="sum")
    by_cell = F.cross_entropy(cells, gold, ignore_index=IGNORE, reduction="none")
    weight = torch.where(gold > 0, relation_weight, 1.0)
    if focal:
        # Of p next to 1 the power has no gradient.
        weight = weight * (1 - torch.exp(-by_cell)).clamp(min=1e-6) ** focal
    return entity + (by_cell * weight).sum()
