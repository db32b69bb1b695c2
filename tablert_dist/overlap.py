"""Overlapping entities, which a table cannot hold, and the four policies for them (SPEC §7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Sentence

POLICIES = ("error", "keep-gold", "drop-pair", "keep-longest")


def overlapping_pairs(sentence: Sentence) -> list[tuple[Entity, Entity]]:
    """Pairs of distinct entities that share a word, in order of position."""
    entities = sorted(set(sentence.entities))
    pairs = []
    for i, first in enumerate(entities):
        for second in entities[i + 1 :]:
            if second.start >= first.end:
                break
            pairs.append((first, second))
    return pairs


def longest(entities: Iterable[Entity]) -> set[Entity]:
    """A largest set without overlap, taken longest first; of equals the first listed."""
    kept: set[Entity] = set()
    for entity in sorted(dict.fromkeys(entities), key=lambda e: e.start - e.end):
        if all(entity.end <= other.start or other.end <= entity.start for other in kept):
            kept.add(entity)
    return kept


def restrict(sentence: Sentence, kept: set[Entity]) -> Sentence:
    """The sentence with only these entities and the relations among them."""
    return replace(
        sentence,
        entities=tuple(e for e in sentence.entities if e in kept),
        relations=tuple(r for r in sentence.relations if r.head in kept and r.tail in kept),
    )


def apply(
    sentence: Sentence,
    policy: str,
    where: str,
    held: Callable[[Sentence], bool] = lambda sentence: False,
    form: str = "a table",
) -> Sentence:
    """The sentence as the policy leaves it, for training and for scoring alike.

    `keep-gold` leaves it whole: encoding trains on what fits and scores count all. `held`: whether the head, whose labels
    lie in `form`, can hold all of a sentence's entities; then there is nothing to refuse. Raises InputError under `error`.
    """
    pairs = overlapping_pairs(sentence)
    if not pairs or policy == "keep-gold":
        return sentence
    if policy == "error":
        if held(sentence):
            return sentence
        first, second = pairs[0]
        raise InputError(
            f"{where}: entities {first.type} [{first.start}, {first.end}) '{sentence.text_of(first)}' and "
            f"{second.type} [{second.start}, {second.end}) '{sentence.text_of(second)}' overlap, which {form} cannot "
            f"hold; accept it with --set data.overlap={'|'.join(POLICIES[1:])}"
        )
    if policy == "drop-pair":
        return restrict(sentence, set(sentence.entities) - {entity for pair in pairs for entity in pair})
    return restrict(sentence, longest(sentence.entities))
