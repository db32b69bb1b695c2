"""TablERT: the words that are pooled for a word, against a walk through them one by one; the beam; what its stages mean."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tablert_dist.heads.base import Arrays
from tablert_dist.heads.tablert.scheme import STAGES, TablertScheme, continues, open_from, span_from
from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tablert_dist.tags import IGNORE, TagSet

TAGS = TagSet(Schema(("Per", "Org"), ("works",)))
E, R = len(TAGS.entity_tags), len(TAGS.relation_tags)


def prefixes(tags: list[int]) -> list[str]:
    return [TAGS.entity_of(tag)[0] if tag >= 0 else "" for tag in tags]


def opened_before(tags: list[int]) -> list[int]:
    """Where the entity begins that is open before each word; the word's own place without one."""
    found, start = [], 0
    for i, prefix in enumerate(prefixes(tags)):
        if i == 0 or prefixes(tags)[i - 1] not in {"B", "I"}:
            start = i
        found.append(start)
        assert prefix in {"B", "I", "L", "U", "O", ""}
    return found


def spanned_before(tags: list[int]) -> list[int]:
    """Where the entity begins that the word before each word belongs to; 0 for the first word."""
    names = prefixes(tags)
    found = [0]
    for last in range(len(tags) - 1):
        start = last
        while start and names[start] in {"I", "L"} and names[start - 1] in {"B", "I"}:
            start -= 1
        found.append(start)
    return found


def test_words_are_pooled_from_where_an_entity_begins() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        tags = rng.integers(0, E, (3, int(rng.integers(1, 9))))
        assert open_from(tags).tolist() == [opened_before(row) for row in tags.tolist()]
        assert span_from(tags).tolist() == [spanned_before(row) for row in tags.tolist()]
    padded = np.array([[TAGS.entity_tags.index("B-Per"), IGNORE, IGNORE, IGNORE]])
    assert open_from(padded).tolist() == [[0, 0, 2, 3]] and span_from(padded).tolist() == [[0, 0, 1, 2]]


def test_an_entity_is_open_after_b_and_i() -> None:
    names = [TAGS.entity_tags[i] for i in np.flatnonzero(continues(np.arange(E)))]
    assert names == ["B-Per", "I-Per", "B-Org", "I-Org"]
    assert not continues(np.array([IGNORE])).any(), "padding is of no entity"


class Tagger:
    """Random vectors and tags; every call of a step is kept."""

    def __init__(self, seed: int, lengths: list[int]) -> None:
        self.rng = np.random.default_rng(seed)
        self.vectors = self.rng.normal(size=(len(lengths), max(lengths), 4)).astype(np.float32)
        self.steps: list[Arrays] = []
        self.tags: NDArray[Any] | None = None

    def offers(self, stage: str) -> frozenset[str]:
        return frozenset()

    def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        if stage == "words":
            assert list(arrays) == ["input_ids"]
            return {"word_vectors": self.vectors}
        if stage == "relations":
            assert arrays["word_vectors"] is self.vectors
            self.tags = arrays["entity_tags"]
            B, N = self.tags.shape
            return {"relation_logits": np.eye(R, dtype=np.float32)[np.full((B, N, N), 2)] * 5}
        self.steps.append({name: array.copy() for name, array in arrays.items()})
        return {"tag_logits": self.rng.normal(size=(len(arrays["word"]), E)).astype(np.float32) * 3}


@pytest.mark.parametrize("span", ["open", "previous"])
def test_each_step_reads_its_word_the_tag_before_and_what_was_pooled(span: str) -> None:
    lengths = [5, 3, 1]
    for seed in range(30):
        engine = Tagger(seed, lengths)
        scheme = TablertScheme(span=span) if span == "open" else TablertScheme()
        words = [tuple("abcde"[:n]) for n in lengths]
        found = scheme.decode(engine, {"input_ids": np.zeros(1)}, words, TAGS)
        assert engine.tags is not None and engine.tags.shape == (3, 5) and len(engine.steps) == 5
        begins = (open_from if span == "open" else span_from)(engine.tags)
        for b, length in enumerate(lengths):
            assert (engine.tags[b, length:] == 0).all()
            for i in range(length):
                step, own = engine.steps[i], engine.vectors[b]
                assert step["word"][b].tolist() == own[i].tolist() and step["word"].dtype == np.float32
                assert step["previous_tag"][b] == (engine.tags[b, i - 1] if i else 0)
                assert step["previous_tag"].dtype == np.int64
                pooled = own[begins[b, i] : i].max(0) if begins[b, i] < i else np.zeros(4)
                assert step["open_entity"][b].tolist() == pooled.tolist() and step["open_entity"].dtype == np.float32
        for sentence, own_words in zip(found, words, strict=True):
            assert sentence.words == own_words
            pairs = [(r.head, r.tail, r.type) for r in sentence.relations]
            n = len(sentence.entities)
            assert pairs == [
                (sentence.entities[j], sentence.entities[i], "works") for i in range(n) for j in range(i + 1, n)
            ], "left, whatever the pair"


def test_a_beam_pools_along_each_of_its_sequences() -> None:
    """With room for every sequence each step reads, beside each tag before, what was pooled along the way to it."""
    engine = Tagger(3, [3])
    TablertScheme(beam=2, span="open").decode(engine, {"input_ids": np.zeros(1)}, [("a", "b", "c")], TAGS)
    first, second, third = engine.steps
    assert len(first["word"]) == 2 and not first["open_entity"].any() and not first["previous_tag"].any()
    one, two = second["previous_tag"].tolist()
    assert one != two, "two ways, no copies"
    for row, tag in enumerate((one, two)):
        pooled = engine.vectors[0, 0] if continues(np.array([tag])).all() else np.zeros(4)
        assert second["open_entity"][row].tolist() == pooled.tolist()
    assert third["word"].tolist() == [engine.vectors[0, 2].tolist()] * 2


def test_of_equal_sequences_the_one_of_the_first_tags_is_taken() -> None:
    class Even(Tagger):
        def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
            found = super().run(stage, arrays, outputs)
            return {"tag_logits": np.zeros_like(found["tag_logits"])} if stage == "tag_step" else found

    for beam in (1, 7, 40):
        engine = Even(0, [4, 2])
        TablertScheme(beam=beam).decode(engine, {"input_ids": np.zeros(1)}, [tuple("abcd"), ("x", "y")], TAGS)
        assert engine.tags is not None and not engine.tags.any()


def test_an_entitys_probability_is_the_product_over_its_words() -> None:
    names = ["B-Per", "L-Per", "U-Org"]

    class Sure(Tagger):
        def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
            found = super().run(stage, arrays, outputs)
            if stage == "tag_step":
                place = len(self.steps) - 1
                found["tag_logits"] = 2.0 * np.eye(E)[[TAGS.entity_tags.index(names[place])] * len(arrays["word"])]
            return found

    for beam in (1, 3):
        (found,) = TablertScheme(beam=beam).decode(Sure(0, [3]), {"input_ids": np.zeros(1)}, [("a", "b", "c")], TAGS)
        word = np.exp(2) / (np.exp(2) + E - 1)
        assert [(e.start, e.end, e.type) for e in found.entities] == [(0, 2, "Per"), (2, 3, "Org")]
        assert [e.probability for e in found.entities] == pytest.approx([word**2, word])
        assert found.relations[0].probability == pytest.approx(np.exp(5) / (np.exp(5) + R - 1))


def test_targets_say_where_pooling_begins() -> None:
    a, b = Entity(0, 3, "Per"), Entity(3, 4, "Org")
    sentences = [Sentence(tuple("abcde"), (a, b), (Relation(a, b, "works"),)), Sentence(("x",))]
    for span, expected in (("open", [0, 0, 0, 3, 4, 5]), ("previous", [0, 0, 0, 0, 3, 4])):
        gold = TablertScheme(span=span).targets(sentences, TAGS, room=(2, 6))
        assert gold["open_from"][0].tolist() == expected
        assert set(gold) == {"entity_tags", "relation_tags", "open_from"}
        assert gold["entity_tags"].shape == (2, 6) and gold["relation_tags"].shape == (2, 6, 6)
    assert TablertScheme().targets(sentences, TAGS)["open_from"][0].tolist() == [0, 0, 0, 0, 3]


def test_masks_of_its_stages() -> None:
    scheme = TablertScheme()
    assert scheme.stages is STAGES
    inputs = {"word_subwords": np.array([[[1, 2], [3, -1]], [[1, -1], [-1, -1]]])}
    words = scheme.valid_mask("words", inputs, {})
    assert {name: mask.tolist() for name, mask in words.items()} == {"word_vectors": [[True, True], [True, False]]}
    rows = scheme.valid_mask("tag_step", {"previous_tag": np.zeros(3, np.int64)}, {})
    assert {name: mask.tolist() for name, mask in rows.items()} == {"tag_logits": [True] * 3}
    assert rows["tag_logits"].dtype == bool
    vectors = np.zeros((1, 3, 2))
    vectors[0, :2, 1] = 1.0
    cells = scheme.valid_mask("relations", {"word_vectors": vectors}, {})
    assert {name: np.argwhere(mask).tolist() for name, mask in cells.items()} == {"relation_logits": [[0, 0, 1]]}
