"""Relation types that stand in both directions on a pair: which of them seem to have no direction, and declaring them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from tablert_dist.errors import InputError, nearest
from tablert_dist.schema import Schema, Sentence

SHARE = 0.9
"""Share of a type's pairs with both directions from which it seems symmetric: annotators forget one now and then. The
directed types of CoNLL04, ADE and SciERC have at most 0.003."""
LEAST_PAIRS = 5
"""Fewer pairs are an anecdote."""
AUTO = "auto"
"""In the place of a type: those that seem symmetric."""


@dataclass(frozen=True)
class Directions:
    """How many pairs of entities of one sentence have a relation of the type, and how many have it in both directions."""

    type: str
    pairs: int
    both: int

    @property
    def undirected(self) -> bool:
        """Whether the type seems to have no direction."""
        return self.pairs >= LEAST_PAIRS and self.both >= SHARE * self.pairs

    def __str__(self) -> str:
        return f"'{self.type}' on {self.both} of {self.pairs} pairs"


def directions(sentences: Iterable[Sentence]) -> dict[str, Directions]:
    """By relation type, in order of the names. A relation of an entity with itself is no pair."""
    pairs: Counter[str] = Counter()
    both: Counter[str] = Counter()
    for sentence in sentences:
        directed = {(r.type, r.head, r.tail) for r in sentence.relations if r.head != r.tail}
        for name, head, tail in directed:
            if (name, tail, head) not in directed:
                pairs[name] += 1
            elif head < tail:
                pairs[name] += 1
                both[name] += 1
    return {name: Directions(name, pairs[name], both[name]) for name in sorted(pairs)}


def undirected(found: Iterable[Directions], symmetric: Collection[str]) -> list[Directions]:
    """Those that seem symmetric and are not declared so."""
    return [d for d in found if d.undirected and d.type not in symmetric]


def declare(sentences: Sequence[Sentence], schema: Schema, wanted: Sequence[str]) -> tuple[Schema, list[str]]:
    """Return the schema with the `wanted` types symmetric (`AUTO`: those that seem so), and lines that say why.

    Raises InputError for a type that there is not, with the nearest name.
    """
    found = directions(sentences)
    names = [name for name in dict.fromkeys(wanted) if name != AUTO]
    for name in names:
        if name not in schema.relation_types:
            known = ", ".join(schema.relation_types) or "none"
            near = nearest(name, schema.relation_types)
            raise InputError(f"--symmetric {name}: there is no such relation type; there are: {known}{near}")
    counted = {name: found.get(name, Directions(name, 0, 0)) for name in schema.relation_types}
    lines = [f"symmetric: in both directions {counted[name]}" for name in names]
    if AUTO in wanted:
        chosen = [d for d in undirected(found.values(), schema.symmetric) if d.type not in names]
        lines += [f"symmetric (auto): in both directions {d}" for d in chosen]
        rest = [d for d in found.values() if d.both and d not in chosen and d.type not in {*names, *schema.symmetric}]
        lines += [f"not symmetric (auto asks for {_asked()}): in both directions {d}" for d in rest]
        if not chosen:
            lines.append(f"symmetric (auto): none; no further type is in both directions on {_asked()}")
        names += [d.type for d in chosen]
    if schema.symmetric:
        lines.append(f"symmetric before: {', '.join(sorted(schema.symmetric))}")
    return replace(schema, symmetric=schema.symmetric | set(names)), lines


def _asked() -> str:
    return f"{100 * SHARE:.0f} % of {LEAST_PAIRS} or more pairs"
