"""Constraints learned from annotated sentences, with the counts behind each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tablert_dist.data.directions import directions, undirected
from tablert_dist.errors import InputError, counted
from tablert_dist.heads.constraints import Arguments, Constraints, Rule
from tablert_dist.schema import Entity, Relation, Schema, Sentence, distinct

SHARE = 0.02
"""Share of entities with several partners up to which a relation is taken for functional: annotators err now and then."""
LEAST = 50
"""Entities with a choice: of fewer, none with several may be chance."""


def learn(sentences: Sequence[Sentence], schema: Schema, named: str, min_count: int = 1) -> Constraints:
    """Return what holds in these sentences; `named` says which they are, in notes ("conll04 train").

    Allowed are the pairs of types with at least `min_count` relations; a relation type without any is left free. A relation
    is (inverse) functional where at most `SHARE` of at least `LEAST` entities with a choice have several partners. An entity
    has a choice where two or more others of its sentence have a type that is allowed. Raises InputError where `min_count`
    would leave a relation type nothing.
    """
    symmetric = schema.symmetric | {d.type for d in undirected(directions(sentences).values(), schema.symmetric)}
    pairs = _pairs(sentences, symmetric)
    rules = {}
    for name in schema.relation_types:
        own = Counter({ends: n for (kind, *ends_), n in pairs.items() if kind == name for ends in [tuple(ends_)]})
        if not own:
            continue
        kept = [Arguments(head=h, tail=t, count=n) for (h, t), n in own.most_common() if n >= min_count]
        if not kept:
            raise InputError(
                f"min-count {min_count}: no pair of types of '{name}' is that frequent, so it could never be predicted; its "
                f"most frequent one has {own.most_common(1)[0][1]}"
            )
        rules[name] = _functional(sentences, name, kept, name in symmetric)
    return Constraints(relations=rules, note=f"learned from {named}", sentences=len(sentences))


def _pairs(sentences: Iterable[Sentence], symmetric: frozenset[str]) -> Counter[tuple[str, str, str]]:
    """Relations by type and types of head and tail; of a symmetric type these are in order of their names."""
    found: Counter[tuple[str, str, str]] = Counter()
    for sentence in sentences:
        for r in distinct(sentence.relations, symmetric):
            ends = (r.head.type, r.tail.type)
            head, tail = sorted(ends) if r.type in symmetric else ends
            found[r.type, head, tail] += 1
    return found


def _functional(sentences: Sequence[Sentence], name: str, allowed: list[Arguments], symmetric: bool) -> Rule:
    forward = {(pair.head, pair.tail) for pair in allowed}
    back = {(tail, head) for head, tail in forward}
    if symmetric:
        several, there = _several(sentences, name, forward | back, ("head", "tail"))
        holds = _holds(several, there)
        return Rule(allowed=allowed, functional=holds, symmetric=True, heads=there, several_tails=several)
    several_tails, heads = _several(sentences, name, forward, ("head",))
    several_heads, tails = _several(sentences, name, back, ("tail",))
    return Rule(
        allowed=allowed,
        functional=_holds(several_tails, heads),
        inverse_functional=_holds(several_heads, tails),
        heads=heads,
        several_tails=several_tails,
        tails=tails,
        several_heads=several_heads,
    )


def _several(
    sentences: Iterable[Sentence], name: str, allowed: set[tuple[str, str]], roles: Sequence[str]
) -> tuple[int, int]:
    """Entities with a choice that stand in one of these roles, and before it those of them that have several partners.

    `allowed`: (its type, the other's).
    """
    several = there = 0
    for sentence in sentences:
        partners: dict[Entity, set[Entity]] = {}
        for r in sentence.relations:
            if r.type == name:
                for role in roles:
                    partners.setdefault(getattr(r, role), set()).add(_other(r, role))
        entities = set(sentence.entities)
        for entity, others in partners.items():
            choice = sum((entity.type, other.type) in allowed for other in entities if other != entity)
            if choice > 1:
                there += 1
                several += len(others) > 1
    return several, there


def _other(relation: Relation, role: str) -> Entity:
    return relation.tail if role == "head" else relation.head


def _holds(several: int, there: int) -> bool:
    return there >= LEAST and several <= SHARE * there


def without_rule(constraints: Constraints, schema: Schema) -> list[str]:
    """Lines that name what nothing was learned of."""
    free = [name for name in schema.relation_types if name not in constraints.relations]
    return [f"no example, and so no rule: {', '.join(free)} ({counted(len(free), 'relation type')})"] if free else []
