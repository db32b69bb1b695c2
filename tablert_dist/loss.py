"""The training loss: cross-entropies summed over words and over cells i < j (paper eqs. 7 and 8), never a mean."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from tablert_dist.tables import IGNORE


def table_loss(entity_BNE: Tensor, relation_BNNR: Tensor, entity_tags_BN: Tensor, relation_tags_BNN: Tensor) -> Tensor:
    """A scalar: the sum over the batch. Targets are tag ids, IGNORE where there is no loss."""
    entity = F.cross_entropy(
        entity_BNE.flatten(0, 1).float(), entity_tags_BN.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    cells = relation_tags_BNN != IGNORE
    relation = F.cross_entropy(relation_BNNR[cells].float(), relation_tags_BNN[cells], reduction="sum")
    return entity + relation
