"""What is done about overlapping entities, which a table cannot hold (docs/concepts.md#what-a-table-cannot-hold)."""

from __future__ import annotations

from collections.abc import Callable

from tablert_dist.errors import InputError
from tablert_dist.schema import Sentence, longest, overlapping_pairs, restrict

POLICIES = ("error", "keep-gold", "drop-pair", "keep-longest")


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
