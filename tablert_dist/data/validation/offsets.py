"""Offset mistakes, judged over a whole file: would the entities make more sense if every span were moved?

The measure is how well a word's form predicts whether it is inside an entity. Where spans are right, `the` and `,` are
outside and names inside; spans that end a word early or lie a word too far mix the two. Each word is predicted from the
other occurrences of its form, backed by its shape (capital, digits, punctuation); the share of the uncertainty about
inside and outside that this removes is compared between the spans as they are and moved. On CoNLL04, ADE and SciERC
every move loses more than 0.1, and every one of the mistakes below, made on purpose, wins more than 0.02.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tablert_dist.data.validation.finding import Case, Finding, short
from tablert_dist.tags import Ints

Spans = Sequence[tuple[int, int]]
Annotated = tuple[Sequence[str], Spans]
MOVES = {
    (0, 1): ("entities end a word too early: 'end' may be the last word's own index (inclusive)", "add 1 to every 'end'"),
    (0, -1): ("entities end a word too late", "subtract 1 from every 'end' ('end' is exclusive: last word + 1)"),
    (1, 0): ("entities start a word too early", "add 1 to every 'start'"),
    (-1, 0): ("entities start a word too late", "subtract 1 from every 'start'"),
    (1, 1): ("all spans lie a word too far left", "add 1 to every 'start' and 'end'"),
    (-1, -1): ("all spans lie a word too far right: words may be counted from 1", "subtract 1 from every 'start' and 'end'"),
}  # fmt: skip
LEAST_ENTITIES = 30
"""Below this a file says too little to be judged."""
SURE_ENTITIES = 100
SURE_FORMS = 50
"""Different words inside entities; where few words come again and again, other spans may explain them better by chance."""
EMPTIED = 0.05
"""Share of entities that a move may leave without a word: where spans are a word too long, none has one word."""
HINT, SURE = 0.01, 0.02
"""How much more of the uncertainty has to go for a warning, and for an error."""
PLAUSIBLE = 0.2
"""What right spans explain at least; below, entities that are random anyway would be moved."""


@dataclass(frozen=True)
class Verdict:
    """The best move, what it explains (0–1) and what the spans as they are explain."""

    move: tuple[int, int]
    as_is: float
    moved: float

    @property
    def gain(self) -> float:
        """Above 0: the moved spans make more sense."""
        return self.moved - self.as_is


def judge(sentences: Sequence[Annotated]) -> Verdict | None:
    """The move that makes most sense; None where there are too few entities, or all words are alike inside."""
    if sum(len(spans) for _, spans in sentences) < LEAST_ENTITIES:
        return None
    forms, shapes = _vocabulary([words for words, _ in sentences])
    moves = [(0, 0), *(move for move in MOVES if _emptied(sentences, move) <= EMPTIED)]
    found = {move: _explained(_inside(sentences, move), forms, shapes) for move in moves}
    as_is = found.pop((0, 0))
    if as_is is None:
        return None
    known = {move: value for move, value in found.items() if value is not None}
    best = max(known, key=lambda move: known[move], default=None)
    return Verdict(best, as_is, known[best]) if best else None


def find(case: Case) -> Iterator[Finding]:
    """One finding a file whose spans, moved, make more sense."""
    for part in case.parts:
        sentences = [(s.words, [(e.start, e.end) for e in s.entities]) for s in part.sentences]
        yield from findings(part.file, sentences)


def findings(file: str, sentences: Sequence[Annotated]) -> Iterator[Finding]:
    """What `judge` says of one file, with its evidence and an example."""
    verdict = judge(sentences)
    if verdict is None or verdict.gain < HINT or verdict.moved < PLAUSIBLE:
        return
    count = sum(len(spans) for _, spans in sentences)
    what, advice = MOVES[verdict.move]
    short_ones = sum(end - start == 1 for _, spans in sentences for start, end in spans)
    evidence = (
        f"the words' forms explain {100 * verdict.as_is:.0f} % of which words are inside an entity, "
        f"{100 * verdict.moved:.0f} % after the change; {short_ones} of {count} entities are one word long"
    )
    index, (words, spans) = _example(sentences, verdict.move)
    start, end = spans[0]
    moved = words[max(start + verdict.move[0], 0) : end + verdict.move[1]]
    inside = {word.lower() for words, spans in sentences for start, end in spans for word in words[max(start, 0) : end]}
    sure = verdict.gain >= SURE and count >= SURE_ENTITIES and len(inside) >= SURE_FORMS
    yield Finding(
        "offsets",
        "error" if sure else "warning",
        file,
        count,
        f"{what}: {evidence}",
        f"{advice}, or correct the conversion",
        f"[{start}, {end}) is {short(words[start:end])}, after the change {short(moved)}",
        index,
    )


def _example(sentences: Sequence[Annotated], move: tuple[int, int]) -> tuple[int, Annotated]:
    """A record whose first entity can be moved, rather a longer entity than one word."""
    can = [
        (i, (words, spans))
        for i, (words, spans) in enumerate(sentences)
        if spans and 0 <= spans[0][0] + move[0] < spans[0][1] + move[1] <= len(words) and spans[0][0] < spans[0][1]
    ]
    anything = [(i, (words, spans)) for i, (words, spans) in enumerate(sentences) if spans]
    return next((c for c in can if c[1][1][0][1] - c[1][1][0][0] > 1), (can or anything)[0])


def _emptied(sentences: Sequence[Annotated], move: tuple[int, int]) -> float:
    """Share of the entities that a move leaves without a word."""
    lengths = [end - start for _, spans in sentences for start, end in spans if end > start]
    return sum(length + move[1] - move[0] <= 0 for length in lengths) / max(len(lengths), 1)


def _inside(sentences: Sequence[Annotated], move: tuple[int, int]) -> NDArray[np.bool_]:
    """[all words] whether a word is inside an entity, its spans moved and cut to the sentence."""
    edges = np.zeros(sum(len(words) for words, _ in sentences) + 1, np.int64)
    at = 0
    for words, spans in sentences:
        for start, end in spans:
            first, last = max(start + move[0], 0), min(end + move[1], len(words))
            if first < last:
                edges[at + first] += 1
                edges[at + last] -= 1
        at += len(words)
    return np.asarray(np.cumsum(edges)[:-1] > 0)


def _vocabulary(sentences: Sequence[Sequence[str]]) -> tuple[Ints, Ints]:
    """[all words] ids of their lower-cased forms and of their shapes."""
    forms: dict[str, int] = {}
    shapes: dict[str, int] = {}
    form_ids, shape_ids = [], []
    for words in sentences:
        for word in words:
            form_ids.append(forms.setdefault(word.lower(), len(forms)))
            shape_ids.append(shapes.setdefault(_shape(word), len(shapes)))
    return np.asarray(form_ids, np.int64), np.asarray(shape_ids, np.int64)


def _shape(word: str) -> str:
    if word.isdigit():
        return "digits"
    if not any(c.isalnum() for c in word):
        return "punctuation"
    if word[0].isupper():
        return "capital"
    return "mixed" if any(c.isdigit() for c in word) else "lower"


def _explained(inside: NDArray[np.bool_], forms: Ints, shapes: Ints) -> float | None:
    """Share (at most 1) of the entropy of `inside` that the forms remove; None where there is no entropy."""
    rate = inside.mean() if len(inside) else 0.0
    if not 0 < rate < 1:
        return None
    total = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate)) * len(inside)
    by_shape = (np.bincount(shapes, inside) + 0.5) / (np.bincount(shapes) + 1)
    # Leave the word itself out, or every rare word would predict itself.
    seen = np.bincount(forms)[forms] - 1
    hits = np.bincount(forms, inside)[forms] - inside
    chance = np.clip((hits + by_shape[shapes]) / (seen + 1), 1e-3, 1 - 1e-3)
    return float(1 + np.log(np.where(inside, chance, 1 - chance)).sum() / total)
