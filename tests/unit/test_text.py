"""Sentences, words and windows: nothing of a text is lost or moved."""

from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import BertPreTokenizer

from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.text import COMMON, Rule, merge, split_sentences, split_words, windows

# No half surrogates: the readers refuse them, and no tokenizer takes them. Hypothesis draws one or none depending on the
# constants in whatever modules are imported beside this one.
TEXTS = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from(" .!?\r\n\tDr👩‍🚀é\u0301\u200f")), max_size=120)


@given(TEXTS)
def test_sentences_are_the_whole_text(text: str) -> None:
    spans = split_sentences(text, "en")
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(start < end for start, end in spans)
    inside = [(s + a, s + b) for s, e in spans for a, b in split_words(text[s:e])]
    assert all(text[a:b].strip() for a, b in inside)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(inside))


def test_an_abbreviation_ends_no_sentence() -> None:
    text = "Dr. Holt met Mr. Verdan on Jan. 5.  He left."
    assert [text[a:b].strip() for a, b in split_sentences(text, "en")] == [
        "Dr. Holt met Mr. Verdan on Jan. 5.",
        "He left.",
    ]


def test_windows_overlap_by_half() -> None:
    assert windows(np.ones(25, int), 10) == [(0, 10), (5, 15), (10, 20), (15, 25)]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=200), st.integers(9, 60))
def test_windows_are_whole_words_within_the_room(counts: list[int], room: int) -> None:
    spans = windows(np.asarray(counts), room)
    assert spans[0][0] == 0 and spans[-1][1] == len(counts)
    for (start, end), following in zip(spans, [*spans[1:], None], strict=True):
        assert sum(counts[start:end]) <= room
        if following:
            assert start < following[0] <= end < following[1], "forward, without a gap"


def test_a_word_longer_than_the_room_is_refused() -> None:
    with pytest.raises(InputError, match="word 1 alone has 70 subwords"):
        windows(np.asarray([1, 70]), 62)


def test_things_are_taken_from_the_window_where_the_edge_is_far() -> None:
    words = [str(i) for i in range(12)]
    spans = [(0, 8), (4, 12)]
    a, b, c = Entity(1, 2, "Per"), Entity(6, 7, "Org"), Entity(10, 11, "Loc")
    wrong = Entity(5, 8, "Loc")  # touches the first window's edge; the second reads Org there
    first = Sentence(tuple(words[:8]), (a, wrong), (Relation(a, wrong, "near"),))
    moved = [Entity(e.start - 4, e.end - 4, e.type) for e in (b, c)]
    second = Sentence(tuple(words[4:]), tuple(moved), (Relation(moved[0], moved[1], "near"),))
    merged = merge(words, spans, [first, second])
    assert merged.sentence.entities == (a, b, c)
    assert merged.sentence.relations == (Relation(b, c, "near"),)
    assert not merged.all_pairs, "words 1 and 10 shared no window"


def test_a_sentences_own_ends_are_no_edges() -> None:
    """Of two that overlap stays the one farther from its window's edge; the first and the last word are at none."""
    words = [str(i) for i in range(30)]
    spans = [(0, 20), (10, 30)]
    long, short = Entity(1, 15, "Per", 0.5), Entity(14, 18, "Org", 0.5)
    first = Sentence(tuple(words[:20]), (long,))
    second = Sentence(tuple(words[10:]), (Entity(4, 8, "Org", 0.5),))
    assert merge(words, spans, [first, second]).sentence.entities == (long,), (
        "5 words from word 20; the other 4 from 10"
    )
    turned = [Entity(30 - e.end, 30 - e.start, e.type, e.probability) for e in (long, short)]
    first = Sentence(tuple(words[:20]), (turned[1],))
    second = Sentence(tuple(words[10:]), (Entity(5, 19, "Per", 0.5),))
    assert merge(words, spans, [first, second]).sentence.entities == (turned[0],), "and from behind"


def test_one_window_gives_what_it_found() -> None:
    a, b = Entity(0, 1, "Per"), Entity(2, 3, "Org")
    sentence = Sentence(("x", "y", "z"), (a, b), (Relation(a, b, "works"),))
    merged = merge(sentence.words, [(0, 3)], [sentence])
    assert merged.sentence == sentence and merged.all_pairs


def test_merging_takes_each_thing_from_the_window_that_holds_it_best() -> None:
    """Against the definition, on windows that disagree; and of two things the one farther from its window's edge stays."""
    rng = np.random.default_rng(3)
    for _ in range(60):
        count = int(rng.integers(8, 120))
        words = [f"w{i}" for i in range(count)]
        spans = windows(rng.integers(1, 4, count), int(rng.integers(8, 40)))
        found = []
        for start, end in spans:
            at = sorted(rng.choice(end - start, min(4, end - start), replace=False).tolist())
            entities = [Entity(i, i + 1, str(rng.choice(["Per", "Org"])), float(rng.random())) for i in at]
            relations = tuple(Relation(a, b, "near") for a, b in itertools.pairwise(entities))
            found.append(Sentence(tuple(words[start:end]), tuple(entities), relations))

        def best(
            span: tuple[int, int], spans: list[tuple[int, int]] = spans, count: int = count
        ) -> tuple[int, int] | None:
            def margin(window: tuple[int, int]) -> float:
                left = span[0] - window[0] if window[0] else np.inf
                return min(left, window[1] - span[1] if window[1] < count else np.inf)

            return max((w for w in spans if w[0] <= span[0] and span[1] <= w[1]), key=margin, default=None)

        expected = {
            (e.start + w[0], e.type)
            for w, sentence in zip(spans, found, strict=True)
            for e in sentence.entities
            if best((e.start + w[0], e.end + w[0])) == w
        }
        merged = merge(words, spans, found)
        entities = merged.sentence.entities
        assert {(e.start, e.type) for e in entities} == expected
        assert merged.all_pairs == all(best((a.start, b.end)) for a, b in itertools.combinations(entities, 2))
        for relation in merged.sentence.relations:
            assert best((relation.head.start, relation.tail.end)) is not None


def by_the_library(text: str) -> list[tuple[int, int]]:
    found = BertPreTokenizer().pre_tokenize_str(text)
    return [span for _, span in found if text[slice(*span)].strip()]


def test_the_quick_way_to_words_knows_each_of_its_characters_as_the_library_does() -> None:
    for character in map(chr, itertools.chain.from_iterable(COMMON)):
        for text in (f"a{character}b", character, f" {character}{character} "):
            for rule in get_args(Rule):
                assert split_words(text, rule=rule) == by_the_library(text), hex(ord(character))


@given(TEXTS, st.integers(0, 30), st.integers(0, 30))
def test_words_are_the_librarys_wherever_the_part_begins(text: str, before: int, after: int) -> None:
    start, end = min(before, len(text)), max(min(before, len(text)), len(text) - after)
    expected = [(start + a, start + b) for a, b in by_the_library(text[start:end])]
    assert split_words(text, start, end, "punctuation") == expected
    assert split_words(text, rule="punctuation") == by_the_library(text)
