"""What a table loses, as counts; its targets, padded to a room; the lengths of its axes."""

from __future__ import annotations

import numpy as np

from tablert_dist.heads.table_encoding import TableLabels, TableLoss, collate_targets, restrict_to_table
from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tablert_dist.tags import IGNORE, TagSet
from tablert_dist.tokenization import EncodedSentence
from tests.support.tiny import SCHEMA

TAGS = TagSet(SCHEMA)
WORDS = tuple("abcdefg")
A, B, C = Entity(0, 2, "Per"), Entity(2, 3, "Org"), Entity(4, 7, "Loc")


def test_losses_add_up_field_by_field() -> None:
    loss = TableLoss(1, 20, 300, 4000, 50000)
    assert loss + TableLoss(5, 40, 300, 2000, 10000) == TableLoss(6, 60, 600, 6000, 60000)
    assert loss.total == 54321 and TableLoss().total == 0


def test_a_loss_says_what_it_is_and_nothing_of_what_it_is_not() -> None:
    assert str(TableLoss(entities=2, same_pair=1)) == "2 overlapping entities, 1 further relations on the same pair"
    assert str(TableLoss(two_way=3, self_relations=4, of_lost_entities=5)) == (
        "3 relations opposite to another on the same pair, 4 relations of an entity with itself, "
        "5 relations of an entity that is left out"
    )
    assert str(TableLoss()) == "nothing"


def loss_of(*relations: Relation, entities: tuple[Entity, ...] = (A, B, C)) -> TableLoss:
    return restrict_to_table(Sentence(WORDS, entities, relations), TAGS)[1]


def test_each_loss_is_counted_under_its_own_name() -> None:
    assert loss_of(Relation(A, B, "works"), Relation(B, A, "works"), Relation(B, A, "near")) == TableLoss(two_way=2)
    assert loss_of(Relation(B, A, "works"), Relation(B, A, "near")) == TableLoss(same_pair=1)
    assert loss_of(Relation(A, B, "works"), Relation(A, B, "near"), Relation(A, C, "near")) == TableLoss(same_pair=1)
    both = [Relation(A, end, kind) for end in (B, C) for kind in ("works", "near")]
    assert loss_of(*both) == TableLoss(same_pair=2)
    assert loss_of(Relation(A, A, "works"), Relation(B, B, "works")) == TableLoss(self_relations=2)
    inside, also = Entity(5, 6, "Per"), Entity(4, 5, "Per")
    lost = (Relation(inside, A, "works"), Relation(also, A, "near"), Relation(A, also, "near"))
    assert loss_of(*lost, entities=(A, inside, C, also, inside)) == TableLoss(entities=2, of_lost_entities=2)


def test_both_ways_of_a_symmetric_relation_are_one_also_where_its_entity_is_left_out() -> None:
    inside = Entity(5, 6, "Per")
    ways = (Relation(inside, A, "near"), Relation(A, inside, "near"))
    assert loss_of(*ways, entities=(A, inside, C)) == TableLoss(entities=1, of_lost_entities=1)


def test_what_fits_is_kept_as_it_was() -> None:
    relations = (Relation(C, A, "works"), Relation(A, B, "near"))
    sentence = Sentence(WORDS, (C, A, B), relations, id="7")
    assert restrict_to_table(sentence, TAGS) == (sentence, TableLoss())
    twice = Sentence(WORDS, (C, A, B), (*relations, Relation(A, C, "near")), id="7")
    assert restrict_to_table(twice, TAGS) == (sentence, TableLoss(two_way=1))


def test_a_tag_fills_the_cells_of_both_entities_in_the_upper_triangle() -> None:
    sentence = Sentence(WORDS, (A, B, C), (Relation(C, A, "works"), Relation(B, C, "near"), Relation(A, B, "works")))
    gold = collate_targets([sentence], TAGS)
    expected = np.where(np.triu(np.ones((7, 7), bool), 1), 0, IGNORE)
    expected[0:2, 4:7] = TAGS.relation_tags.index("works:left")
    expected[0:2, 2] = TAGS.relation_tags.index("works:right")
    expected[2, 4:7] = TAGS.relation_tags.index("near:right")
    assert gold.relation_tags.tolist() == [expected.tolist()]
    names = [TAGS.entity_tags[tag] for tag in gold.entity_tags[0]]
    assert names == ["B-Per", "L-Per", "U-Org", "O", "B-Loc", "I-Loc", "L-Loc"]
    assert gold.entity_tags.dtype == gold.relation_tags.dtype == np.int64


def test_targets_are_padded_to_a_room() -> None:
    sentences = [Sentence(("a", "b"), (Entity(1, 2, "Org"),)), Sentence(("c",))]
    gold = TableLabels().targets(sentences, TAGS, room=(3, 4))
    org = TAGS.entity_tags.index("U-Org")
    assert gold["entity_tags"].tolist() == [[0, org, *[IGNORE] * 2], [0, *[IGNORE] * 3], [IGNORE] * 4]
    assert gold["relation_tags"].shape == (3, 4, 4)
    cells = [tuple(cell) for cell in np.argwhere(gold["relation_tags"] != IGNORE).tolist()]
    assert cells == [(0, 0, 1)] and gold["relation_tags"][0, 0, 1] == 0
    own = TableLabels().targets(sentences, TAGS)
    assert own["entity_tags"].shape == (2, 2) and own["relation_tags"].shape == (2, 2, 2)


def test_a_table_has_an_axis_of_entity_tags_and_one_of_relation_tags() -> None:
    labels = TableLabels()
    assert labels.sizes(TagSet(Schema(("A", "B"), ("r",)))) == {"E": 9, "R": 3}
    assert labels.has_room
    encoded = EncodedSentence(np.array([2, 7, 3]), np.array([1]), np.array([1]))
    assert labels.prepare(encoded) is encoded
    lost = Sentence(WORDS, (A, B), (Relation(A, A, "works"),))
    assert labels.representable(lost, TAGS) == restrict_to_table(lost, TAGS)
