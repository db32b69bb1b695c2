"""Windows of long sentences, read and put together by hand; annotated sentences as rows of windows; where sentences end."""

from __future__ import annotations

import re
import sys
from types import ModuleType

import numpy as np
import pytest
from tokenizers import Tokenizer

from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.text import SURROGATE, Merged, merge, split_sentences, split_words, windows
from tablert_dist.tokenization import SubwordTokenizer
from tablert_dist.tokenization.windows import joined, places, rows_of, windows_of

WORDS = [f"w{i}" for i in range(12)]
SPANS = [(0, 8), (4, 12)]


def found(
    span: tuple[int, int], *entities: Entity, relations: tuple[tuple[int, int, str, float], ...] = ()
) -> Sentence:
    """What a window says, told by the places in the whole sentence; a relation by its ends' places in `entities`."""
    own = [Entity(e.start - span[0], e.end - span[0], e.type, e.probability) for e in entities]
    related = tuple(Relation(own[h], own[t], kind, p) for h, t, kind, p in relations)
    return Sentence(tuple(WORDS[slice(*span)]), tuple(own), related)


def test_windows_of_words_of_several_subwords() -> None:
    assert windows(np.array([1, 2, 3, 4]), 10) == [(0, 4)], "all of it fits"
    assert windows(np.array([1, 2, 3, 4, 1]), 10) == [(0, 4), (2, 5)]
    assert windows(np.array([3, 3, 3, 3, 3]), 6) == [(0, 2), (1, 3), (2, 4), (3, 5)]
    assert windows(np.array([5, 1, 1, 1, 5, 1]), 6) == [(0, 2), (1, 4), (4, 6)]
    assert windows(np.array([1, 1, 9, 9]), 9) == [(0, 2), (2, 3), (3, 4)], "long words: nothing overlaps"
    assert windows(np.array([], int), 10) == [(0, 0)]
    assert windows(np.array([10]), 10) == [(0, 1)]
    with pytest.raises(InputError, match=re.escape("word 2 alone has 11 subwords, the encoder takes 10: no word?")):
        windows(np.array([1, 1, 11, 2]), 10)


def test_an_entity_is_read_from_the_window_whose_nearest_edge_is_farther() -> None:
    near = Entity(5, 6, "Per", 0.5)
    for place, first_wins in ((4, True), (5, True), (6, False), (7, False)):
        seen = Entity(place, place + 1, "Per", 0.1), Entity(place, place + 1, "Per", 0.9)
        merged = merge(WORDS, SPANS, [found(SPANS[0], seen[0]), found(SPANS[1], seen[1])])
        assert [e.probability for e in merged.sentence.entities] == [0.1 if first_wins else 0.9], place
    close = [(0, 3), (1, 4)]
    seen = Entity(1, 2, "Per", 0.1), Entity(1, 2, "Per", 0.9)
    merged = merge(WORDS[:4], close, [found(close[0], seen[0]), found(close[1], seen[1])])
    assert [e.probability for e in merged.sentence.entities] == [0.1], "the second window's edge is at word 1"
    # Of the other window nothing is taken, be it there or not.
    merged = merge(WORDS, SPANS, [found(SPANS[0]), found(SPANS[1], near)])
    assert merged == Merged(Sentence(tuple(WORDS)), True)


def test_neighbours_that_overlap_are_ranked_by_their_edge_then_by_their_probability() -> None:
    # Words 5–6 are read in the first window, 2 from its edge; 6 and 7 in the second, 2 and 3 from its.
    first, second = Entity(4, 6, "Per", 0.4), Entity(5, 8, "Org", 0.9)
    merged = merge(WORDS, SPANS, [found(SPANS[0], first), found(SPANS[1], second)])
    assert merged.sentence.entities == (first,), "two words from the edge, not one"
    for chances in ((0.3, 0.6), (0.6, 0.3), (None, 0.1)):
        one, two = Entity(1, 3, "Per", chances[0]), Entity(2, 4, "Org", chances[1])
        merged = merge(WORDS, [(0, 12)], [found((0, 12), one, two)])
        assert merged.sentence.entities == ((one,) if (chances[0] or 0) > (chances[1] or 0) else (two,))
    touching = Entity(1, 3, "Per"), Entity(3, 4, "Org")
    assert merge(WORDS, [(0, 12)], [found((0, 12), *touching[::-1])]).sentence.entities == touching, "in their order"


def test_relations_are_read_where_both_ends_lie_deepest_and_stay_whole() -> None:
    a, b, c = Entity(4, 5, "Per", 0.9), Entity(6, 7, "Org", 0.8), Entity(10, 11, "Loc", 0.7)
    left = found(SPANS[0], a, b, relations=((0, 1, "works", 0.1), (1, 0, "near", 0.2)))
    right = found(SPANS[1], a, b, c, relations=((0, 1, "works", 0.3), (2, 1, "near", 0.4)))
    merged = merge(WORDS, SPANS, [left, right])
    assert [(r.head, r.tail, r.type, r.probability) for r in merged.sentence.relations] == [
        (a, b, "works", 0.1),
        (b, a, "near", 0.2),
        (c, b, "near", 0.4),
    ], "words 4 to 6: one word from the first window's edge, none from the second's"
    assert [e.probability for e in merged.sentence.entities] == [0.9, 0.8, 0.7] and merged.all_pairs
    assert merged.sentence.words == tuple(WORDS)
    head, tail = merged.sentence.relations[0].head, merged.sentence.relations[0].tail
    assert (head.probability, tail.probability) == (0.9, 0.8)


def test_a_relation_of_an_entity_that_was_not_kept_goes_and_the_others_stay() -> None:
    a, b, inner = Entity(0, 1, "Per", 0.9), Entity(4, 6, "Org", 0.8), Entity(5, 6, "Loc", 0.1)
    whole = found((0, 12), a, b, inner, relations=((0, 2, "near", 0.5), (2, 1, "near", 0.5), (0, 1, "works", 0.5)))
    merged = merge(WORDS, [(0, 12)], [whole])
    assert merged.sentence.entities == (a, b) and merged.sentence.relations == (Relation(a, b, "works"),)


def test_every_pair_was_read_where_the_outermost_entities_shared_a_window() -> None:
    def all_pairs(*at: int) -> bool:
        entities = [Entity(i, i + 1, "Per") for i in at]
        inside = [found(s, *(e for e in entities if s[0] <= e.start and e.end <= s[1])) for s in SPANS]
        return merge(WORDS, SPANS, inside).all_pairs

    assert all_pairs() and all_pairs(3) and all_pairs(0, 7) and all_pairs(4, 11)
    assert not all_pairs(0, 8) and not all_pairs(3, 5, 11)


@pytest.fixture
def tokenizer(tiny_encoder: str) -> SubwordTokenizer:
    return SubwordTokenizer(Tokenizer.from_file(f"{tiny_encoder}/tokenizer.json"), 6)


def test_rows_are_the_sentences_or_their_windows(tokenizer: SubwordTokenizer) -> None:
    """At most 6 subwords, two of them special: 'xy' has two."""
    sentences = [["at", "at"], ["at", "at", "at", "xy", "at"], ["xy", "xy"], ["at"] * 5]
    own = windows_of(sentences, tokenizer)
    assert own == {1: [(0, 3), (2, 5)], 3: [(0, 4), (2, 5)]}
    rows = rows_of(sentences, own)
    assert rows == [["at", "at"], ["at", "at", "at"], ["at", "xy", "at"], ["xy", "xy"], ["at"] * 4, ["at"] * 3]
    assert [list(p) for p in places(4, own)] == [[0], [1, 2], [3], [4, 5]]
    assert windows_of([["at"]], tokenizer) == {} and rows_of([["at"]], {}) == [["at"]]
    with pytest.raises(InputError, match="sentence 1: word 1 alone has 5 subwords, the encoder takes 4"):
        windows_of([["at"], ["at", "xyxyx"]], tokenizer)


def test_rows_are_joined_to_their_sentence() -> None:
    one = Sentence(("a",), (Entity(0, 1, "Per"),))
    assert joined(("a",), None, [one]) is one
    a, c = Entity(1, 2, "Per"), Entity(10, 11, "Loc")
    both = joined(WORDS, SPANS, [found(SPANS[0], a), found(SPANS[1], c)])
    assert both == Sentence(tuple(WORDS), (a, c))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["One. ", "Two."], [(0, 5), (5, 9)]),
        (["One. Two."], [(0, 9)]),
        (["One.", "Two."], [(0, 9)]),  # a character was left out
        (["One. ", "Two. "], [(0, 9)]),  # and one too many
    ],
)
def test_sentences_are_the_librarys_where_they_are_the_whole_text(
    parts: list[str], expected: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = ModuleType("sentencex")
    asked: list[tuple[str, str]] = []
    library.segment = lambda language, text: asked.append((language, text)) or parts  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentencex", library)
    assert split_sentences("One. Two.", "de") == expected and asked == [("de", "One. Two.")]
    assert split_sentences("", "de") == [] and len(asked) == 1
    assert SURROGATE.search("a\udc00") and not SURROGATE.search("a\U0001f600")


def test_words_of_a_part_of_a_text_have_their_places_in_the_whole() -> None:
    text = "Ada在 Acme, Bo 在."
    assert split_words(text, 3, 9) == [(3, 4), (5, 9)]
    assert split_words(text, 3, 9, "punctuation") == [(3, 4), (5, 9)]
    assert split_words(text, 1, 4) == [(1, 3), (3, 4)] and split_words(text, 1, 4, "punctuation") == [(1, 4)]
    assert split_words("a-b c", 2) == [(2, 3), (4, 5)] and split_words("a b", 0, 1) == [(0, 1)]
    assert split_words("aé\u0301 \u0c05.", 1) == [(1, 3), (4, 5), (5, 6)], "no character of a space-less script"
    assert split_words("abcdefghij \x1c\x1d é\u0301", 9) == [(9, 10), (14, 16)], "separators of records are no words"
    assert split_words("") == [] and split_words("在", 1) == []


def test_a_dictionary_that_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "icu4py.breakers", None)
    said = (
        "Thai has no spaces between words: ICU finds them, which the extra [segment] brings: "
        "pip install 'tablert-dist[segment]'"
    )
    with pytest.raises(InputError, match=re.escape(said)):
        split_words("Ada สมชาย")
    assert split_words("Ada สมชาย", rule="punctuation") == [(0, 3), (4, 9)]
