"""The formalism: tags and their ids, and the arrays of a batch of tables with their axes.

Axes: B batch, S subwords, P subwords of a word, N words, E entity tags, R relation tags.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tablert_dist.schema import Schema

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Direction = Literal["right", "left"]
PREFIXES = ("B", "I", "L", "U")
IGNORE = -1
"""Target of a cell that has no loss: padding, the diagonal's relation tag, and everything below the diagonal."""


@dataclass(frozen=True)
class TagSet:
    """Tag ids (docs/concepts.md#labels): `O` then B, I, L, U for each type; `none` then right, left for each type."""

    schema: Schema

    @property
    def entity_tags(self) -> tuple[str, ...]:
        """Names of the E entity tags in the order of their ids."""
        return ("O", *(f"{prefix}-{kind}" for kind in self.schema.entity_types for prefix in PREFIXES))

    @property
    def relation_tags(self) -> tuple[str, ...]:
        """Names of the R relation tags in the order of their ids."""
        return ("none", *(f"{kind}:{way}" for kind in self.schema.relation_types for way in ("right", "left")))

    def entity_id(self, prefix: str, kind: str) -> int:
        """Id of, say, `B-Peop`."""
        return 1 + len(PREFIXES) * self.schema.entity_types.index(kind) + PREFIXES.index(prefix)

    def entity_of(self, tag: int) -> tuple[str, str]:
        """Prefix and type of a tag id; `("O", "")` for 0."""
        if tag == 0:
            return "O", ""
        kind, prefix = divmod(tag - 1, len(PREFIXES))
        return PREFIXES[prefix], self.schema.entity_types[kind]

    def relation_id(self, kind: str, direction: Direction) -> int:
        """Id of, say, `Live_In` to the right: the head comes first. A symmetric type is always right."""
        left = direction == "left" and kind not in self.schema.symmetric
        return 1 + 2 * self.schema.relation_types.index(kind) + int(left)

    def relation_of(self, tag: int) -> tuple[str, Direction] | None:
        """Type and direction of a tag id; None for `none`. A symmetric type is read as right."""
        if tag == 0:
            return None
        kind, left = divmod(tag - 1, 2)
        name = self.schema.relation_types[kind]
        return name, "left" if left and name not in self.schema.symmetric else "right"


@dataclass(frozen=True)
class TableInputs:
    """What a model reads. `word_subwords[b, n]` lists the subword positions of word n, −1 = none; an all −1 row = no word."""

    input_ids: Ints  # [B, S]
    attention_mask: Ints  # [B, S], 1 = a subword
    word_subwords: Ints  # [B, N, P]

    @property
    def lengths(self) -> Ints:
        """[B] words in each sentence."""
        return np.asarray((self.word_subwords >= 0).any(-1).sum(-1), np.int64)

    def arrays(self) -> dict[str, Ints]:
        """By the names that the exported graph has."""
        return {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "word_subwords": self.word_subwords,
        }


@dataclass(frozen=True)
class TableTargets:
    """Gold tag ids; IGNORE where there is no loss."""

    entity_tags: Ints  # [B, N]
    relation_tags: Ints  # [B, N, N], only i < j


@dataclass(frozen=True)
class RelationAnswers:
    """Each cell's tag of the largest logit, and its softmax."""

    tags: NDArray[np.int32]  # [..., N, N]
    probabilities: Floats  # [..., N, N]

    def __getitem__(self, cells: Any) -> RelationAnswers:
        """As logits are sliced: by sentence, then rows and columns."""
        return RelationAnswers(self.tags[cells], self.probabilities[cells])


@dataclass(frozen=True)
class TableLogits:
    """What a model says. Cells i > j of `relation` are unspecified."""

    entity: Floats  # [B, N, E]
    relation: Floats | RelationAnswers  # [B, N, N, R], or [B, N, N]
