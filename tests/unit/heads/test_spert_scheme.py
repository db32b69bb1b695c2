"""SpERT's scheme by hand: which spans and pairs are asked for, what is read from the answers, what is drawn for training."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tablert_dist.heads.base import Arrays
from tablert_dist.heads.constraints import Arguments, Constraints, Rule
from tablert_dist.heads.rules import Rules
from tablert_dist.heads.spert import scheme as spert
from tablert_dist.heads.spert.scheme import STAGES, SpertScheme
from tablert_dist.heads.table_encoding import TableLoss
from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tablert_dist.tags import IGNORE, TagSet
from tablert_dist.tokenization import EncodedSentence

SCHEMA = Schema(("Per", "Org"), ("works", "near"), frozenset({"near"}))
TAGS = TagSet(SCHEMA)


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


class Told:
    """Finds the entities and relations that it is told, with their probabilities; the rest is none."""

    def __init__(
        self, entities: dict[tuple[int, int, int], int], relations: dict[tuple[int, ...], list[float]]
    ) -> None:
        self.entities, self.relations = entities, relations
        self.asked: list[tuple[str, Arrays]] = []
        self.vectors = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)

    def offers(self, stage: str) -> frozenset[str]:
        return frozenset()

    def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        self.asked.append((stage, arrays))
        if stage == "words":
            return {"word_vectors": self.vectors}
        if stage == "spans":
            kinds = [
                [self.entities.get((b, int(start), int(end)), 0) for start, end in row]
                for b, row in enumerate(arrays["spans"])
            ]
            return {"entity_logits": np.log(8.0) * np.eye(3, dtype=np.float32)[kinds]}
        answers = [
            [[logit(p) for p in self.relations.get(tuple(pair), [0.1, 0.1])] for pair in arrays["pairs"][0].tolist()]
        ]
        return {"relation_logits": np.asarray(answers, np.float32)}


WORDS = [tuple("abcde"), ("x", "y")]
"""A span's words count from 1 in the graph: 0 is the sentence token."""


def test_spans_are_asked_for_by_length_and_pairs_of_what_was_found() -> None:
    engine = Told({(0, 1, 3): 1, (0, 4, 5): 2, (1, 2, 3): 1}, {(1, 3, 4, 5): [0.8, 0.1], (4, 5, 1, 3): [0.4, 0.1]})
    first, second = SpertScheme(max_span=2, threshold=0.5).decode(engine, {"ids": np.zeros(1)}, WORDS, TAGS)
    stages = [stage for stage, _ in engine.asked]
    assert stages == ["words", "spans", "relations"] and list(engine.asked[0][1]) == ["ids"]
    spans = engine.asked[1][1]["spans"]
    assert spans[0].tolist() == [[n, n + 1] for n in range(1, 6)] + [[n, n + 2] for n in range(1, 5)]
    assert spans[1].tolist() == [[1, 2], [2, 3], [1, 3]] + [[0, 1]] * 6, "padding's span is the sentence token"
    assert engine.asked[1][1]["word_vectors"] is engine.vectors and spans.dtype == np.int64
    pairs = engine.asked[2][1]
    assert pairs["pairs"].tolist() == [[[1, 3, 4, 5], [4, 5, 1, 3]]] and pairs["pairs"].dtype == np.int64
    assert pairs["word_vectors"].tolist() == engine.vectors[:1, :6].tolist(), "its own words and the sentence token"
    assert first.words == WORDS[0] and first.entities == (Entity(0, 2, "Per"), Entity(3, 4, "Org"))
    assert [e.probability for e in first.entities] == pytest.approx([0.8, 0.8])
    (works,) = first.relations
    assert works == Relation(first.entities[0], first.entities[1], "works")
    assert works.probability == pytest.approx(0.8)
    assert second.entities == (Entity(1, 2, "Per"),) and not second.relations


def test_the_second_sentences_pairs_read_its_own_words() -> None:
    engine = Told({(1, 1, 2): 1, (1, 2, 3): 2}, {(1, 2, 2, 3): [0.9, 0.1]})
    _, second = SpertScheme().decode(engine, {"ids": np.zeros(1)}, WORDS, TAGS)
    assert engine.asked[2][1]["word_vectors"].tolist() == engine.vectors[1:2, :3].tolist()
    assert second.relations == (Relation(Entity(0, 1, "Per"), Entity(1, 2, "Org"), "works"),)


def test_a_relation_needs_the_threshold_and_a_symmetric_one_its_better_way() -> None:
    a, b = (1, 2), (3, 4)
    engine = Told({(0, *a): 1, (0, *b): 1}, {(*a, *b): [0.4999, 0.6], (*b, *a): [0.6, 0.9]})
    found = SpertScheme(threshold=0.5).decode(engine, {}, WORDS, TAGS)[0]
    first, second = found.entities
    assert {(r.head, r.tail, r.type): round(r.probability or 0, 4) for r in found.relations} == {
        (second, first, "works"): 0.6,
        (first, second, "near"): 0.9,
    }
    turned = Told({(0, *a): 1, (0, *b): 1}, {(*a, *b): [0.1, 0.9], (*b, *a): [0.1, 0.6]})
    (near,) = SpertScheme(threshold=0.5).decode(turned, {}, WORDS, TAGS)[0].relations
    assert near.probability == pytest.approx(0.9) and near.head == first
    half = Told({(0, *a): 1, (0, *b): 1}, {(*a, *b): [0.5, 0.1]})
    assert len(SpertScheme(threshold=0.5).decode(half, {}, WORDS, TAGS)[0].relations) == 1, (
        "the threshold itself counts"
    )


def test_many_pairs_are_asked_for_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = {(0, n, n + 1): 1 for n in range(1, 5)}
    pairs = {(a, a + 1, b, b + 1): [0.5 + 0.01 * (4 * a + b), 0.1] for a in range(1, 5) for b in range(1, 5) if a != b}
    whole = Told(spans, pairs)
    expected = SpertScheme().decode(whole, {}, WORDS, TAGS)
    monkeypatch.setattr(spert, "PAIRS_AT_ONCE", 5)
    parts = Told(spans, pairs)
    found = SpertScheme().decode(parts, {}, WORDS, TAGS)
    asked = [len(arrays["pairs"][0]) for stage, arrays in parts.asked if stage == "relations"]
    assert asked == [5, 5, 2] and len(found[0].relations) == 12
    assert found == expected
    assert [r.probability for r in found[0].relations] == [r.probability for r in expected[0].relations]


def test_the_defaults_are_the_authors() -> None:
    scheme = SpertScheme()
    assert (scheme.max_span, scheme.negatives, scheme.threshold) == (10, 100, 0.4)
    assert scheme.stages is STAGES and not scheme.has_room
    assert scheme.sizes(TagSet(Schema(("A", "B", "C"), ("r",)))) == {"T": 4, "R": 1}


def test_the_sentence_token_is_the_first_word_and_has_one_subword() -> None:
    prepared = SpertScheme().prepare(EncodedSentence(np.array([2, 7, 8, 3]), np.array([1]), np.array([2])))
    assert prepared.first.tolist() == [0, 1] and prepared.count.tolist() == [1, 2]
    assert prepared.first.dtype == prepared.count.dtype == np.int64


def test_what_spert_cannot_hold_is_counted_each_under_its_name() -> None:
    scheme = SpertScheme(max_span=2)
    a, b, twin, long = Entity(0, 1, "Per"), Entity(1, 3, "Org"), Entity(0, 1, "Org"), Entity(0, 3, "Per")
    relations = (
        Relation(a, b, "works"),
        Relation(a, a, "works"),
        Relation(a, a, "works"),
        Relation(b, long, "near"),
        Relation(long, b, "near"),
        Relation(twin, b, "works"),
        Relation(twin, long, "works"),
    )
    fits, loss = scheme.representable(Sentence(tuple("abc"), (a, b, twin, long, a), relations, id="5"), TAGS)
    assert fits == Sentence(tuple("abc"), (a, b, a), relations[:1], id="5")
    assert loss == TableLoss(entities=2, self_relations=1, of_lost_entities=3)
    half = (Relation(b, a, "near"), Relation(long, a, "works"), Relation(a, long, "works"))
    assert scheme.representable(Sentence(tuple("abc"), (a, b, long), half), TAGS)[1].of_lost_entities == 2


def test_gold_and_what_is_drawn_beside_it_row_by_row() -> None:
    a, b, c = Entity(0, 1, "Per"), Entity(1, 3, "Org"), Entity(3, 4, "Per")
    sentence = Sentence(tuple("abcd"), (a, b, c), (Relation(a, b, "works"), Relation(c, a, "near")))
    scheme = SpertScheme(max_span=2, negatives=2)
    rngs = [np.random.default_rng(n) for n in range(2)]
    gold = scheme.targets([sentence, Sentence(("x", "y"))], TAGS, rngs)
    assert gold["spans"][0, :3].tolist() == [[1, 2], [2, 4], [4, 5]] and gold["spans"].shape == (2, 5, 2)
    assert gold["span_types"].tolist() == [[1, 2, 1, 0, 0], [0, 0, IGNORE, IGNORE, IGNORE]]
    drawn = {tuple(span) for span in gold["spans"][0, 3:].tolist()}
    assert len(drawn) == 2 and drawn <= {(2, 3), (3, 4), (1, 3), (3, 5)}, "spans of up to two words that are none"
    assert gold["spans"][1, 2:].tolist() == [[0, 0]] * 3
    pairs = {
        tuple(p): tuple(row) for p, row in zip(gold["pairs"][0].tolist(), gold["pair_labels"][0].tolist(), strict=True)
    }
    own = {(1, 2, 2, 4): (1, 0), (4, 5, 1, 2): (0, 1), (1, 2, 4, 5): (0, 1)}
    others = {pair: row for pair, row in pairs.items() if pair not in own}
    assert {pair: pairs[pair] for pair in own} == own
    assert len(others) == 2 and set(others.values()) == {(0, 0)}
    assert set(others) <= {(2, 4, 1, 2), (2, 4, 4, 5), (4, 5, 2, 4)}
    assert gold["pairs"].shape == (2, 5, 4) and (gold["pair_labels"][1] == IGNORE).all()
    assert all(array.dtype == np.int64 for array in gold.values())


def test_all_that_there_is_is_taken_in_order() -> None:
    for seed in range(6):
        gold = SpertScheme(max_span=2, negatives=3).targets([Sentence(("x", "y"))], TAGS, [np.random.default_rng(seed)])
        assert gold["spans"].tolist() == [[[1, 2], [2, 3], [1, 3]]]


def test_a_batch_without_pairs_has_a_row_of_padding() -> None:
    """No axis of a graph may be empty; and what is too long to be read is learned all the same."""
    long = Sentence(tuple("abc"), (Entity(0, 3, "Org"),))
    gold = SpertScheme(max_span=1, negatives=0).targets([long], TAGS, [np.random.default_rng(0)])
    assert gold["spans"].tolist() == [[[1, 4]]] and gold["span_types"].tolist() == [[2]]
    assert gold["pairs"].tolist() == [[[0] * 4]] and gold["pair_labels"].tolist() == [[[IGNORE] * 2]]
    none = SpertScheme().targets([], TAGS, [])
    assert [none[name].shape for name in ("spans", "span_types", "pairs", "pair_labels")] == [
        (0, 1, 2), (0, 1), (0, 1, 4), (0, 1, 2)
    ]  # fmt: skip


def test_masks_of_its_stages() -> None:
    scheme = SpertScheme()
    words = scheme.valid_mask("words", {"word_subwords": np.array([[[1], [-1]]])}, {})
    assert {name: mask.tolist() for name, mask in words.items()} == {"word_vectors": [[True, False]]}
    spans = scheme.valid_mask("spans", {"spans": np.array([[[1, 3], [0, 1]]])}, {})
    assert {name: mask.tolist() for name, mask in spans.items()} == {"entity_logits": [[True, False]]}
    pairs = scheme.valid_mask("relations", {"pairs": np.zeros((1, 3, 4), np.int64)}, {})
    assert {name: mask.tolist() for name, mask in pairs.items()} == {"relation_logits": [[True] * 3]}
    assert pairs["relation_logits"].dtype == bool


def test_rules_choose_by_how_far_probabilities_lie_above_the_threshold() -> None:
    """Three persons work in one place, of which one may; the pair that may be near each other is free."""
    entities = {(0, 1, 2): 1, (0, 2, 3): 1, (0, 3, 4): 1, (0, 4, 5): 2}
    relations = {(n, n + 1, 4, 5): [p, 0.1] for n, p in ((1, 0.7), (2, 0.9), (3, 0.5))} | {(2, 3, 1, 2): [0.1, 0.6]}
    allowed = [Arguments(head="Per", tail="Org")]
    rules = Constraints(relations={"works": Rule(allowed=allowed, inverse_functional=True)})
    scheme = SpertScheme(max_span=1, threshold=0.4)
    free, _ = scheme.decode(Told(entities, relations), {}, WORDS, TAGS)
    assert [r.type for r in free.relations] == ["works", "near", "works", "works"] and free.relations[0].odds is None
    scheme.rules = Rules.of(rules, TAGS)
    kept, _ = scheme.decode(Told(entities, relations), {}, WORDS, TAGS)
    a, b, _, org = kept.entities
    assert set(kept.relations) == {Relation(a, b, "near"), Relation(b, org, "works")}
    odds = {r.type: r.odds for r in kept.relations}
    assert odds == pytest.approx({"near": logit(0.6) - logit(0.4), "works": logit(0.9) - logit(0.4)}, rel=1e-5)
    assert {r: r.probability for r in kept.relations} == pytest.approx(
        {r: r.probability for r in free.relations if r in kept.relations}
    )
    scheme.threshold = 0.0
    assert scheme._odds(-50.0) == 0.0 and scheme._odds(3.0) > 3.0
