"""The three heads' schemes: each decodes its own gold, whatever the formalism can hold; beams, BILOU, span pooling."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tablert_dist.config import DataConfig, ModelConfig, SpertConfig
from tablert_dist.data import load_corpus
from tablert_dist.heads import HEADS, make_scheme
from tablert_dist.heads.base import Arrays, Scheme
from tablert_dist.heads.sequences import best_sequences, log_softmax, transitions
from tablert_dist.heads.table_decoding import decode
from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tablert_dist.scoring import count
from tablert_dist.tags import TableLogits, TagSet
from tablert_dist.tokenization import EncodedSentence
from tests.support.tiny import SCHEMA, sentences

TAGS = TagSet(SCHEMA)
SCHEMES = {name: make_scheme(ModelConfig(head=name)) for name in HEADS}


class Oracle:
    """Answers every stage with the gold of its batch. A word's vector tells which word of which sentence it is."""

    def __init__(self, scheme: Scheme, gold: list[Sentence], tags: TagSet) -> None:
        rngs = [np.random.default_rng(i) for i in range(len(gold))]
        self.gold, self.tags = gold, tags
        self.targets = scheme.targets(gold, tags, rngs)

    def offers(self, stage: str) -> frozenset[str]:
        return frozenset()

    def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        return getattr(self, stage)(arrays)

    def table(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        return {"entity_logits": self.entity_logits(), "relation_logits": self.relation_logits()}

    def words(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        width = 1 + max(len(s.words) for s in self.gold)
        where = np.indices((len(self.gold), width)).transpose(1, 2, 0)
        return {"word_vectors": where.astype(np.float32)}

    def tag_step(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        b, i = arrays["word"].astype(int).T
        logits = np.zeros((len(b), len(self.tags.entity_tags)), np.float32)
        inside = i < self.targets["entity_tags"].shape[1]
        tag = np.where(inside, self.targets["entity_tags"][b, np.where(inside, i, 0)], 0).clip(min=0)
        logits[np.arange(len(b)), tag] = 9.0
        return {"tag_logits": logits}

    def relations(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        if "entity_tags" in arrays:
            return {"relation_logits": self.relation_logits()}
        sentence = self.gold[int(arrays["word_vectors"][0, 0, 0])]
        kinds = self.tags.schema.relation_types
        logits = np.full((*arrays["pairs"].shape[:2], len(kinds)), -9.0, np.float32)
        for row, pair in enumerate(arrays["pairs"][0] - 1):
            for relation in sentence.relations:
                ends = [(relation.head, relation.tail)]
                if relation.type in self.tags.schema.symmetric:
                    ends.append(ends[0][::-1])
                if any((h.start, h.end, t.start, t.end) == tuple(pair) for h, t in ends):
                    logits[0, row, kinds.index(relation.type)] = 9.0
        return {"relation_logits": logits}

    def spans(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        logits = np.zeros((*arrays["spans"].shape[:2], 1 + len(self.tags.schema.entity_types)), np.float32)
        for b, sentence in enumerate(self.gold):
            kinds = {(e.start, e.end): 1 + self.tags.schema.entity_types.index(e.type) for e in sentence.entities}
            for q, (start, end) in enumerate(arrays["spans"][b] - 1):
                logits[b, q, kinds.get((int(start), int(end)), 0)] = 9.0
        return {"entity_logits": logits}

    def entity_logits(self) -> NDArray[Any]:
        tags = self.targets["entity_tags"].clip(min=0)
        return 9.0 * np.eye(len(self.tags.entity_tags), dtype=np.float32)[tags]

    def relation_logits(self) -> NDArray[Any]:
        tags = self.targets["relation_tags"].clip(min=0)
        return 9.0 * np.eye(len(self.tags.relation_tags), dtype=np.float32)[tags]


def perfect(scheme: Scheme, gold: list[Sentence], tags: TagSet) -> list[Sentence]:
    return scheme.decode(Oracle(scheme, gold, tags), {}, [s.words for s in gold], tags)


def f1(gold: list[Sentence], found: list[Sentence], schema: Schema) -> dict[str, float]:
    scores = count(zip(gold, found, strict=True), schema).scores()
    return {level: scores.f1(level) for level in ("ner", "re", "re_plus")}


@pytest.mark.parametrize("head", SCHEMES)
@given(batch=st.lists(sentences(), min_size=1, max_size=4))
def test_a_perfect_engine_gives_back_the_gold(head: str, batch: list[Sentence]) -> None:
    found = perfect(SCHEMES[head], batch, TAGS)
    for gold, ours in zip(batch, found, strict=True):
        assert set(ours.entities) == set(gold.entities)
        assert count([(gold, ours)], SCHEMA).table[:, 1:].sum() == 0


@pytest.mark.parametrize("head", SCHEMES)
@pytest.mark.parametrize(("corpus", "split"), [("conll04", "dev"), ("scierc/spert", "dev"), ("conll04", "train")])
def test_gold_of_real_corpora_is_decoded_to_what_the_scheme_holds(
    data_root: Path, head: str, corpus: str, split: str
) -> None:
    """F1 is 100 against what fits and, against all gold, what `fit` says."""
    read = load_corpus(DataConfig(path=str(data_root / corpus), overlap="keep-gold"))
    tags, scheme = TagSet(read.schema), SCHEMES[head]
    gold = list(read.splits[split])
    fitted = [scheme.representable(s, tags)[0] for s in gold]
    lost = sum(scheme.representable(s, tags)[1].total for s in gold)
    found = [s for i in range(0, len(gold), 50) for s in perfect(scheme, gold[i : i + 50], tags)]
    assert f1(fitted, found, read.schema) == {"ner": 1.0, "re": 1.0, "re_plus": 1.0}
    scores = count(zip(gold, found, strict=True), read.schema)
    assert (scores.table[:, 2].sum() == 0) == (lost == 0)


def test_spert_holds_overlaps_both_directions_and_several_relations_but_no_long_span() -> None:
    outer, inner, far = Entity(0, 3, "Org"), Entity(1, 2, "Per"), Entity(4, 5, "Loc")
    long = Entity(5, 17, "Org")
    sentence = Sentence(
        tuple(f"w{i}" for i in range(18)),
        (outer, inner, far, long),
        (
            Relation(outer, inner, "works"),
            Relation(inner, outer, "works"),
            Relation(outer, far, "works"),
            Relation(outer, far, "near"),
            Relation(far, long, "works"),
        ),
    )
    fits, loss = SCHEMES["spert"].representable(sentence, TAGS)
    assert set(fits.entities) == {outer, inner, far} and len(fits.relations) == 4
    assert (loss.entities, loss.of_lost_entities, loss.total) == (1, 1, 2)
    (found,) = perfect(SCHEMES["spert"], [sentence], TAGS)
    assert set(found.entities) == set(fits.entities) and set(found.relations) == set(fits.relations)
    table, loss = SCHEMES["cnn"].representable(sentence, TAGS)
    assert inner not in table.entities and loss.total == 4


def test_spert_draws_negatives_by_sentence_and_never_gold() -> None:
    a, b, c = Entity(0, 1, "Per"), Entity(2, 4, "Org"), Entity(5, 6, "Loc")
    sentence = Sentence(tuple("abcdefgh"), (a, b, c), (Relation(a, b, "works"), Relation(b, c, "near")))
    scheme = make_scheme(ModelConfig(head="spert", spert=SpertConfig(negatives=10)))

    def draw(seed: int) -> dict[str, NDArray[Any]]:
        return scheme.targets([sentence, Sentence(("x",))], TAGS, [np.random.default_rng(seed) for _ in range(2)])

    one, same, other = draw(1), draw(1), draw(2)
    assert all(np.array_equal(one[k], same[k]) for k in one)
    assert not np.array_equal(one["spans"], other["spans"])
    spans = [tuple(s) for s, t in zip(one["spans"][0] - 1, one["span_types"][0], strict=True) if t == 0]
    assert len(spans) == len(set(spans)) == 10 and not {(0, 1), (2, 4), (5, 6)} & set(spans)
    assert one["span_types"][1].tolist().count(0) == 1, "a sentence of one word has one span"
    labels = {tuple(p - 1): tuple(row) for p, row in zip(one["pairs"][0], one["pair_labels"][0], strict=True)}
    # 'near' has no direction, so both ways are right; the other pairs of entities have none.
    assert labels[0, 1, 2, 4] == (1, 0) and labels[2, 4, 5, 6] == labels[5, 6, 2, 4] == (0, 1)
    assert labels[2, 4, 0, 1] == labels[0, 1, 5, 6] == labels[5, 6, 0, 1] == (0, 0) and len(labels) == 6
    assert (one["pair_labels"][1] == -1).all()


def test_the_sentence_token_is_a_word_before_the_others() -> None:
    encoded = EncodedSentence(np.array([2, 7, 8, 9, 3]), np.array([1, 3]), np.array([2, 1]))
    prepared = SCHEMES["spert"].prepare(encoded)
    assert prepared.first.tolist() == [0, 1, 3] and prepared.count.tolist() == [1, 2, 1]
    assert SCHEMES["cnn"].prepare(encoded) is encoded


class Chain:
    """A tag's score depends on the tag before it, so that greedy and exhaustive search may differ."""

    def __init__(self, first: NDArray[Any], later: NDArray[Any], words: int) -> None:
        self.first, self.later, self.width = first, later, words

    def offers(self, stage: str) -> frozenset[str]:
        return frozenset()

    def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        E = len(self.first)
        if stage == "words":
            vectors = np.repeat(np.arange(self.width, dtype=np.float32)[None, :, None], 2, 0)
            return {"word_vectors": vectors}
        if stage == "relations":
            return {"relation_logits": np.zeros((2, self.width, self.width, 5), np.float32)}
        place = arrays["word"][:, 0].astype(int)
        logits = np.where(place[:, None] == 0, self.first, self.later[arrays["previous_tag"]] * (1 + place[:, None]))
        assert logits.shape[1] == E
        return {"tag_logits": logits.astype(np.float32)}


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_beam_finds_the_best_sequence_and_a_beam_of_one_the_greedy_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    E, N = 5, 4
    engine = Chain(rng.normal(size=E) * 2, rng.normal(size=(E, E)) * 2, N)

    def score(path: tuple[int, ...]) -> float:
        total = log_softmax(engine.first[None])[0, path[0]]
        for i in range(1, len(path)):
            total += log_softmax(engine.later[path[i - 1]][None] * (1 + i))[0, path[i]]
        return float(total)

    lengths = np.array([N, 2])
    vectors = engine.run("words", {})["word_vectors"]
    wide, logits = make_scheme(ModelConfig(head="tablert"), beam=E**N)._tag(engine, vectors, lengths)  # type: ignore[attr-defined]
    for b, n in enumerate(lengths):
        best = max(itertools.product(range(E), repeat=int(n)), key=score)
        assert tuple(wide[b, :n]) == best and (wide[b, n:] == 0).all()
        chosen = np.take_along_axis(log_softmax(logits[b, :n]), wide[b, :n, None], -1)
        assert chosen.sum() == pytest.approx(score(best))
    greedy, _ = make_scheme(ModelConfig(head="tablert"))._tag(engine, vectors, lengths)  # type: ignore[attr-defined]
    path = [int(engine.first.argmax())]
    for _ in range(N - 1):
        path.append(int(engine.later[path[-1]].argmax()))
    assert greedy[0].tolist() == path and greedy[1, :2].tolist() == path[:2]


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_viterbi_is_the_best_of_all_well_formed_sequences(seed: int, words: int) -> None:
    tags = TagSet(Schema(("A",), ()))
    logits = np.random.default_rng(seed).normal(size=(words, 5)).astype(np.float32) * 2
    scores = log_softmax(logits)

    def well_formed(path: tuple[int, ...]) -> bool:
        text = "".join(tags.entity_of(t)[0] for t in path)
        for entity in ("U", "O"):
            text = text.replace(entity, ".")
        while "BI" in text:
            text = text.replace("BI", "B")
        return not text.replace("BL", "").strip(".")

    paths = [p for p in itertools.product(range(5), repeat=words) if well_formed(p)]
    best = max(paths, key=lambda p: sum(scores[i, t] for i, t in enumerate(p)))
    assert tuple(best_sequences(logits[None], np.array([words]), tags)[0]) == best


def test_viterbi_never_mixes_types_and_leaves_well_formed_sequences_alone() -> None:
    names = TAGS.entity_tags
    allowed, starts, ends = transitions(TAGS)
    assert (
        not allowed[names.index("B-Per"), names.index("L-Org")] and allowed[names.index("L-Per"), names.index("B-Org")]
    )
    assert not starts[names.index("I-Per")] and not ends[names.index("B-Loc")] and ends[names.index("U-Loc")]
    logits = np.full((3, len(names)), -4.0, np.float32)
    for i, name in enumerate(("B-Per", "L-Org", "U-Loc")):
        logits[i, names.index(name)] = 3.0
    logits[1, names.index("L-Per")] = 2.9
    table = TableLogits(logits[None], np.zeros((1, 3, 3, len(TAGS.relation_tags)), np.float32))
    for constrained, kind in ((False, "Org"), (True, "Per")):
        (found,) = decode([("a", "b", "c")], table, TAGS, constrained)
        assert [(e.start, e.end, e.type) for e in found.entities] == [(0, 2, kind), (2, 3, "Loc")]
