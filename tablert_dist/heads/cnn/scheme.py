"""TablERT-CNN: the whole table in one stage (docs/concepts.md#decoding)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tablert_dist.heads.base import RELATION_ANSWERS, SUBWORDS, Arrays, Engine, Masks, Stage, word_mask
from tablert_dist.heads.table_decoding import decode, run_table
from tablert_dist.heads.table_encoding import TableLabels
from tablert_dist.schema import Sentence
from tablert_dist.tags import TableLogits, TagSet

TABLE = "table"

STAGES: Mapping[str, Stage] = {
    TABLE: Stage(
        SUBWORDS,
        {"entity_logits": ("batch", "words", "E"), "relation_logits": ("batch", "words", "words", "R")},
        answers=RELATION_ANSWERS,
    )
}


class TableScheme(TableLabels):
    """Entity tags on the diagonal, relation tags above it. `constrained`: entity tags by Viterbi, not word by word."""

    def __init__(self, constrained: bool = False) -> None:
        self.stages = STAGES
        self.constrained = constrained

    def decode(self, engine: Engine, inputs: Arrays, words: Sequence[Sequence[str]], tags: TagSet) -> list[Sentence]:
        """As `Scheme.decode`."""
        found, relation = run_table(engine, TABLE, inputs, ("entity_logits",), self.rules is not None)
        logits = TableLogits(found["entity_logits"], relation)
        return decode(words, logits, tags, self.constrained, self.temperatures, self.rules)

    def valid_mask(self, stage: str, inputs: Arrays, outputs: Arrays) -> Masks:
        """Words, and cells i < j of words."""
        mask = word_mask(inputs)
        return {"entity_logits": mask, "relation_logits": upper_cells(mask)}


def upper_cells(mask_BN: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[B, N, N]: cells i < j of two words."""
    N = mask_BN.shape[1]
    return np.asarray(mask_BN[:, :, None] & mask_BN[:, None, :] & np.triu(np.ones((N, N), bool), 1))
