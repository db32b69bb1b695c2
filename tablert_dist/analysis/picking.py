"""What to annotate next: texts that a model is unsure of, or that are unlike each other and what is annotated already."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tablert_dist.errors import InputError, nearest
from tablert_dist.inference.graph.mentions import Document

WIDTH = 512
"""Of a text's vector: words share places by their hash."""
ALIKE = 0.85
"""Cosine of plain counts of words from which on a text is like one that is picked already."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Candidate:
    """A text that may be picked. `doubt` (0–1): None where nothing was found in it."""

    line: int
    text: str
    doubt: float | None


@dataclass(frozen=True)
class Pick:
    """A candidate that was picked, and by what: "uncertainty", "diversity" or "random"."""

    candidate: Candidate
    by: str


@dataclass(frozen=True)
class Picked:
    """The picks, the first to be annotated first, and how many texts were passed over because they are like one of them."""

    picks: tuple[Pick, ...]
    alike: int = 0


def doubt(document: Document) -> float | None:
    """The mean of 1 - probability over all that was found: entities, and triples (Lewis and Gale 1994: least confidence).

    Example:
        >>> from tablert_dist.inference.graph.mentions import Mention
        >>> doubt(Document("1", "Ada", (Mention("Ada", "Person", 0, 3, 0.75, "1", "Ada"),), ()))
        0.25
    """
    said = [m.probability for m in document.mentions] + [t.triple_probability for t in document.triples]
    known = [p for p in said if p is not None]
    return 1 - sum(known) / len(known) if known else None


def pick(
    candidates: Sequence[Candidate], n: int, by: str, annotated: Iterable[str] = (), explore: float = 0.1, seed: int = 1
) -> Picked:
    """At most `n` of the candidates, none twice and none whose text is annotated already.

    uncertainty: those of most doubt, but for texts that are like one before. diversity: each the farthest from all before
    and from what is `annotated` (k-center: Sener and Savarese 2018). random: as it says. Of uncertainty's picks a share
    `explore` is random, or texts in which the model finds nothing would never be seen. Raises InputError for another `by`.
    """
    way = way_of(by)
    known = list(annotated)
    seen = {_plain(text) for text in known}
    fresh = []
    for candidate in candidates:
        plain = _plain(candidate.text)
        if plain and plain not in seen:
            seen.add(plain)
            fresh.append(candidate)
    return way(fresh, min(n, len(fresh)), known, explore, np.random.default_rng(seed))


def _uncertain(
    fresh: Sequence[Candidate], n: int, known: Sequence[str], explore: float, rng: np.random.Generator
) -> Picked:
    sure = round(n * (1 - explore))
    order = sorted((c for c in fresh if c.doubt is not None), key=lambda c: (-(c.doubt or 0.0), c.line))
    vectors = vectors_of([c.text for c in order], rare=False)
    taken: list[int] = []
    alike = 0
    for i in range(len(order)):
        if len(taken) == sure:
            break
        if taken and float((vectors[taken] @ vectors[i]).max()) >= ALIKE:
            alike += 1
        else:
            taken.append(i)
    picks = [Pick(order[i], "uncertainty") for i in taken]
    there = {p.candidate.line for p in picks}
    left = [c for c in fresh if c.line not in there]
    return Picked((*picks, *_random(left, min(n - len(picks), len(left)), known, explore, rng).picks), alike)


def _diverse(
    fresh: Sequence[Candidate], n: int, known: Sequence[str], explore: float, rng: np.random.Generator
) -> Picked:
    vectors = vectors_of([*known, *(c.text for c in fresh)])
    mine = vectors[len(known) :]
    # How near each one is to the nearest of what is annotated or picked.
    near = np.full(len(fresh), -1.0, np.float32)
    for row in vectors[: len(known)]:
        np.maximum(near, mine @ row, out=near)
    picks = []
    for step in range(n):
        # The first of all: what most texts are like.
        i = int((mine @ mine.mean(0)).argmax()) if not (step or known) else int(near.argmin())
        picks.append(Pick(fresh[i], "diversity"))
        np.maximum(near, mine @ mine[i], out=near)
        near[i] = np.inf
    return Picked(tuple(picks))


def _random(
    fresh: Sequence[Candidate], n: int, known: Sequence[str], explore: float, rng: np.random.Generator
) -> Picked:
    return Picked(tuple(Pick(fresh[i], "random") for i in rng.permutation(len(fresh))[:n]))


Way = Callable[[Sequence[Candidate], int, Sequence[str], float, np.random.Generator], Picked]
WAYS: dict[str, Way] = {"uncertainty": _uncertain, "diversity": _diverse, "random": _random}


def way_of(by: str) -> Way:
    """The way of that name. Raises InputError for another."""
    if by not in WAYS:
        raise InputError(f"--by {by}: there are {', '.join(WAYS)}{nearest(by, list(WAYS))}")
    return WAYS[by]


def vectors_of(texts: Sequence[str], rare: bool = True) -> Vectors:
    """A unit vector [texts, WIDTH] each: words by their hash; 0 where there is no word. `rare`: rare words weigh more."""
    counts = [Counter(_words(text)) for text in texts]
    spread = Counter(word for count in counts for word in count)
    found = np.zeros((len(texts), WIDTH), np.float32)
    for row, count in zip(found, counts, strict=True):
        for word, times in count.items():
            place, sign = _place(word)
            weight = (1 + np.log(times)) * (1 + np.log(len(texts) / spread[word])) if rare else times
            row[place] += sign * weight
    length = np.linalg.norm(found, axis=1, keepdims=True)
    unit: Vectors = found / np.maximum(length, 1e-9)
    return unit


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _place(word: str) -> tuple[int, float]:
    """The same on every machine and in every run."""
    number = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "big")
    return number % WIDTH, 1.0 if number >> 63 else -1.0


def _plain(text: str) -> str:
    """Without white space: words joined by spaces are the text that they were cut from."""
    return "".join(text.split())


def candidate_of(document: Document, line: int) -> Candidate:
    """The candidate that a line of results is."""
    return Candidate(line, document.text, doubt(document))
