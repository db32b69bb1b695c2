"""Subwords, gold tags and the inverse of encoding: decode(encode(gold)) = gold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tablert_dist.config import DataConfig
from tablert_dist.data import load_corpus
from tablert_dist.errors import InputError
from tablert_dist.heads.table_decoding import decode, triple_probability
from tablert_dist.heads.table_encoding import collate_targets, restrict_to_table
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.tags import IGNORE, TableLogits, TagSet
from tablert_dist.tokenization import SubwordTokenizer, collate
from tests.support.tiny import SCHEMA, sentences

TAGS = TagSet(SCHEMA)


def gold_logits(items: list[Sentence], tags: TagSet) -> TableLogits:
    """Logits that say what the gold table says."""
    targets = collate_targets(items, tags)
    entity = np.eye(len(tags.entity_tags), dtype=np.float32)[np.maximum(targets.entity_tags, 0)] * 9
    relation = np.eye(len(tags.relation_tags), dtype=np.float32)[np.maximum(targets.relation_tags, 0)] * 9
    return TableLogits(entity, relation)


def content(sentence: Sentence, tags: TagSet = TAGS) -> tuple[frozenset[Entity], frozenset[object]]:
    symmetric = tags.schema.symmetric
    return frozenset(sentence.entities), frozenset(
        (frozenset((r.head, r.tail)) if r.type in symmetric else (r.head, r.tail), r.type) for r in sentence.relations
    )


@given(sentences(), sentences())
def test_decoding_undoes_encoding(first: Sentence, second: Sentence) -> None:
    items = [first, second]
    found = decode([s.words for s in items], gold_logits(items, TAGS), TAGS)
    assert [content(s) for s in found] == [content(s) for s in items]


@pytest.mark.parametrize(("corpus", "policy"), [("conll04", "error"), ("scierc/spert", "keep-longest")])
def test_real_corpora_survive_the_table(data_root: Path, corpus: str, policy: str) -> None:
    loaded = load_corpus(DataConfig(path=str(data_root / corpus), overlap=policy))
    tags = TagSet(loaded.schema)
    for sentence in loaded.train[:300]:
        kept, _ = restrict_to_table(sentence, tags)
        found = decode([sentence.words], gold_logits([sentence], tags), tags)[0]
        assert content(found, tags) == content(kept, tags)


def test_conll04_loses_one_relation_of_a_two_way_pair(data_root: Path) -> None:
    corpus = load_corpus(DataConfig(path=str(data_root / "conll04")))
    losses = [restrict_to_table(s, TagSet(corpus.schema))[1] for s in corpus.train]
    assert sum(loss.two_way for loss in losses) == sum(loss.total for loss in losses) == 1


def test_tags_by_hand() -> None:
    """Ada Bo works at Acme: B-Per L-Per O O U-Org; works to the right on both words of the head."""
    ada, acme = Entity(0, 2, "Per"), Entity(4, 5, "Org")
    sentence = Sentence(("Ada", "Bo", "works", "at", "Acme"), (acme, ada), (Relation(ada, acme, "works"),))
    targets = collate_targets([sentence, Sentence(("Oslo",))], TAGS)
    names = [TAGS.entity_tags[i] for i in targets.entity_tags[0]]
    assert names == ["B-Per", "L-Per", "O", "O", "U-Org"]
    assert targets.entity_tags[1].tolist() == [0, IGNORE, IGNORE, IGNORE, IGNORE]
    tagged = {(i, j): TAGS.relation_tags[t] for (i, j), t in np.ndenumerate(targets.relation_tags[0]) if t > 0}
    assert tagged == {(0, 4): "works:right", (1, 4): "works:right"}
    assert (np.tril(targets.relation_tags[0]) == np.tril(np.full((5, 5), IGNORE))).all(), "no loss on or below i = j"
    assert (targets.relation_tags[1] == IGNORE).all()
    assert len(TAGS.entity_tags) == 13
    assert TAGS.relation_tags == ("none", "works:right", "works:left", "near:right", "near:left")


def test_left_and_symmetric_directions() -> None:
    first, second = Entity(0, 1, "Per"), Entity(1, 2, "Per")
    words = ("Ada", "Bo")
    for kind, expected in (("works", "works:left"), ("near", "near:right")):
        sentence = Sentence(words, (first, second), (Relation(second, first, kind),))
        assert TAGS.relation_tags[collate_targets([sentence], TAGS).relation_tags[0, 0, 1]] == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["B-Per", "I-Org", "L-Loc"], [(0, 3, "Loc")]),  # the last word's type
        (["B-Per", "I-Per", "O"], []),  # never closed
        (["I-Per", "L-Per"], [(0, 2, "Per")]),  # opens after the start of the sentence
        (["U-Per", "L-Org"], [(0, 1, "Per"), (1, 2, "Org")]),
        (["O", "B-Per", "U-Org", "O"], [(1, 3, "Org")]),  # opens after the last O
        (["B-Per", "B-Per", "L-Per"], [(0, 3, "Per")]),
    ],
)
def test_spans_close_at_l_or_u(names: list[str], expected: list[tuple[int, int, str]]) -> None:
    logits = np.eye(len(TAGS.entity_tags), dtype=np.float32)[[TAGS.entity_tags.index(n) for n in names]]
    relation = np.zeros((1, len(names), len(names), len(TAGS.relation_tags)), np.float32)
    (found,) = decode([["word"] * len(names)], TableLogits(logits[None], relation), TAGS)
    assert [(e.start, e.end, e.type) for e in found.entities] == expected


def test_relations_are_read_at_the_last_words_and_probabilities_multiply() -> None:
    entity = np.zeros((1, 3, len(TAGS.entity_tags)), np.float32)
    for word, tag in enumerate(["B-Per", "L-Per", "U-Org"]):
        entity[0, word, TAGS.entity_tags.index(tag)] = 3
    relation = np.zeros((1, 3, 3, 5), np.float32)
    relation[0, 0, 2, 1] = 9  # the first word of the head: not the cell that counts
    relation[0, 1, 2, 2] = 2
    found = decode([("Ada", "Bo", "Acme")], TableLogits(entity, relation), TAGS)[0]
    (only,) = found.relations
    assert (only.type, only.head.type, only.tail.type) == ("works", "Org", "Per")
    word = np.exp(3) / (np.exp(3) + 12)
    cell = np.exp(2) / (np.exp(2) + 4)
    assert only.head.probability == pytest.approx(word)
    assert only.tail.probability == pytest.approx(word**2)
    assert only.probability == pytest.approx(cell)
    assert triple_probability(only) == pytest.approx(cell * word**3)


def test_what_a_table_cannot_hold_is_counted() -> None:
    words = tuple("abcdef")
    long, inner, other = Entity(0, 3, "Org"), Entity(1, 2, "Per"), Entity(4, 5, "Loc")
    relations = (
        Relation(inner, other, "works"),  # its head is inside a longer entity
        Relation(long, other, "works"),
        Relation(other, long, "works"),
        Relation(long, other, "near"),
        Relation(long, long, "works"),
        Relation(long, other, "works"),  # a duplicate is no loss
    )
    kept, loss = restrict_to_table(Sentence(words, (inner, long, other), relations), TAGS)
    assert kept.relations == (relations[1],)
    assert (loss.entities, loss.two_way, loss.same_pair, loss.self_relations, loss.of_lost_entities) == (1, 1, 1, 1, 1)
    both_ways = (Relation(long, other, "near"), Relation(other, long, "near"))
    assert restrict_to_table(Sentence(words, (long, other), both_ways), TAGS)[1].total == 0, "symmetric: one relation"


def tokenizer_of(folder: str, limit: int = 64) -> SubwordTokenizer:
    return SubwordTokenizer(Tokenizer.from_file(f"{folder}/tokenizer.json"), limit)


def test_the_tokenizers_own_cutting_and_padding_are_off(tiny_encoder: str) -> None:
    words = ["works", "xyz", "at"] * 4
    (encoded,) = tokenizer_of(tiny_encoder).encode([words])
    assert encoded.words == 12
    assert encoded.count.tolist() == [1, 3, 1] * 4
    assert len(encoded.ids) == 20 + 2
    assert encoded.first[1] == 2 and encoded.first[2] == 5
    inputs = collate([encoded, tokenizer_of(tiny_encoder).encode([["at"]])[0]], 0)
    assert inputs.word_subwords[0, 1].tolist() == [2, 3, 4]
    assert inputs.word_subwords[1].tolist() == [[1, -1, -1]] + [[-1, -1, -1]] * 11
    assert inputs.lengths.tolist() == [12, 1]
    assert inputs.attention_mask.sum(1).tolist() == [22, 3]


def test_a_word_without_subwords_becomes_the_unknown_token(tiny_encoder: str) -> None:
    tokenizer = tokenizer_of(tiny_encoder)
    (encoded,) = tokenizer.encode([["at", "\u200b", "Acme"]])
    assert encoded.count.tolist() == [1, 1, 1]
    assert encoded.ids[encoded.first[1]] == tokenizer.tokenizer.token_to_id("[UNK]")


def test_a_sentence_over_the_limit_is_refused_never_cut(tiny_encoder: str) -> None:
    with pytest.raises(InputError, match=r"sentence 1: 62 words are 64 subwords, over the encoder's limit of 63"):
        tokenizer_of(tiny_encoder, 63).encode([["at"], ["at"] * 62])


def test_a_byte_level_tokenizer_gets_its_prefix_space() -> None:
    vocabulary = {"<unk>": 0, "Ġ": 1, "a": 2, "t": 3, "Ġa": 4, "Ġat": 5}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("Ġ", "a"), ("Ġa", "t")], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    (encoded,) = SubwordTokenizer(tokenizer, 10).encode([["at", "at"]])
    assert encoded.ids.tolist() == [5, 5]
