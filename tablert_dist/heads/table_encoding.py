"""Gold sentences as the tags of a table (docs/concepts.md#labels, #training), and what a table cannot hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tablert_dist.heads.rules import Rules
from tablert_dist.heads.temperatures import NEUTRAL, Temperatures
from tablert_dist.schema import Entity, Relation, Sentence, distinct, longest, restrict
from tablert_dist.tags import IGNORE, TableTargets, TagSet
from tablert_dist.tokenization import EncodedSentence


@dataclass(frozen=True)
class TableLoss:
    """What a table cannot hold, as counts; they add up."""

    entities: int = 0
    two_way: int = 0
    same_pair: int = 0
    self_relations: int = 0
    of_lost_entities: int = 0

    def __add__(self, other: TableLoss) -> TableLoss:
        return TableLoss(*(getattr(self, f) + getattr(other, f) for f in self.__dataclass_fields__))

    @property
    def total(self) -> int:
        """Everything that is lost."""
        return sum(getattr(self, f) for f in self.__dataclass_fields__)

    def __str__(self) -> str:
        names = {
            "entities": "overlapping entities",
            "two_way": "relations opposite to another on the same pair",
            "same_pair": "further relations on the same pair",
            "self_relations": "relations of an entity with itself",
            "of_lost_entities": "relations of an entity that is left out",
        }
        return ", ".join(f"{getattr(self, f)} {what}" for f, what in names.items() if getattr(self, f)) or "nothing"


def restrict_to_table(sentence: Sentence, tags: TagSet) -> tuple[Sentence, TableLoss]:
    """The part of the sentence that a table holds: no overlap (longest kept), one relation a pair (first listed)."""
    kept = longest(sentence.entities)
    fits = restrict(sentence, kept)
    # A symmetric relation that is written both ways is one relation, not two.
    relations = distinct(fits.relations, tags.schema.symmetric)
    lost_relations = len(distinct(sentence.relations, tags.schema.symmetric)) - len(relations)
    chosen: dict[tuple[Entity, Entity], Relation] = {}
    two_way = same_pair = selves = 0
    for relation in relations:
        pair = (min(relation.head, relation.tail), max(relation.head, relation.tail))
        if relation.head == relation.tail:
            selves += 1
        elif pair not in chosen:
            chosen[pair] = relation
        elif chosen[pair].head == relation.tail:
            two_way += 1
        else:
            same_pair += 1
    loss = TableLoss(len(set(sentence.entities)) - len(kept), two_way, same_pair, selves, lost_relations)
    return replace(fits, relations=tuple(chosen.values())), loss


def collate_targets(sentences: Sequence[Sentence], tags: TagSet, room: tuple[int, int] | None = None) -> TableTargets:
    """Gold tags of one batch, of what fits (`restrict_to_table`). `room`: sentences and words to pad to."""
    rows, width = room or (len(sentences), max(len(s.words) for s in sentences))
    entity_tags = np.full((rows, width), IGNORE, np.int64)
    relation_tags = np.full((rows, width, width), IGNORE, np.int64)
    for b, whole in enumerate(sentences):
        n = len(whole.words)
        sentence, _ = restrict_to_table(whole, tags)
        entity_tags[b, :n] = 0
        relation_tags[b, :n, :n][np.triu_indices(n, 1)] = 0
        for entity in sentence.entities:
            entity_tags[b, entity.start : entity.end] = _bilou(entity, tags)
        for relation in sentence.relations:
            right = relation.head.start < relation.tail.start
            first, second = (relation.head, relation.tail) if right else (relation.tail, relation.head)
            tag = tags.relation_id(relation.type, "right" if right else "left")
            relation_tags[b, first.start : first.end, second.start : second.end] = tag
    return TableTargets(entity_tags, relation_tags)


def _bilou(entity: Entity, tags: TagSet) -> list[int]:
    length = entity.end - entity.start
    prefixes = "U" if length == 1 else "B" + "I" * (length - 2) + "L"
    return [tags.entity_id(prefix, entity.type) for prefix in prefixes]


class TableLabels:
    """What the schemes have in common whose labels lie in a table."""

    has_room = True
    temperatures: Temperatures = NEUTRAL
    rules: Rules | None = None

    def prepare(self, encoded: EncodedSentence) -> EncodedSentence:
        """As it is."""
        return encoded

    def sizes(self, tags: TagSet) -> Mapping[str, int]:
        """As `Scheme.sizes`: the tags."""
        return {"E": len(tags.entity_tags), "R": len(tags.relation_tags)}

    def representable(self, sentence: Sentence, tags: TagSet) -> tuple[Sentence, TableLoss]:
        """As `restrict_to_table`."""
        return restrict_to_table(sentence, tags)

    def targets(
        self,
        sentences: Sequence[Sentence],
        tags: TagSet,
        rngs: Sequence[np.random.Generator] = (),
        room: tuple[int, int] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """`entity_tags` [B, N], `relation_tags` [B, N, N]."""
        gold = collate_targets(sentences, tags, room)
        return {"entity_tags": gold.entity_tags, "relation_tags": gold.relation_tags}
