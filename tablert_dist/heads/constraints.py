"""Constraints on triples: which types of entities a relation may have, and whether it has one tail a head or one head a
tail. What a types file gives, what is learned from annotated sentences, and what checkpoints and bundles keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from tablert_dist.errors import InputError, counted, nearest
from tablert_dist.schema import Schema
from tablert_dist.storage.records import Record, parsed

Count = Annotated[int, Field(ge=0)]


class Arguments(Record):
    """A pair of entity types that a relation may have."""

    head: str
    tail: str
    count: Count = 0
    """Gold relations with them; 0 where nobody has counted."""


def _some(allowed: list[Arguments] | None) -> list[Arguments] | None:
    if allowed == []:
        raise ValueError(
            "no pair of types is allowed, so the relation could never be predicted; leave 'allowed' out to allow every pair"
        )
    return allowed


class Rule(Record):
    """What holds for one relation type. OWL's names: `functional`, `inverse_functional`, `symmetric`."""

    allowed: Annotated[list[Arguments] | None, AfterValidator(_some)] = None
    """Pairs of types; None allows every pair. Of a symmetric type each pair stands for both orders."""
    functional: bool = False
    """A head has at most one tail; of a symmetric type, an entity at most one partner."""
    inverse_functional: bool = False
    """A tail has at most one head."""
    symmetric: bool = False
    """A r B and B r A say the same: one of them is predicted, with the entity that comes first as its head."""
    heads: Count = 0
    """Gold heads that could have had another tail: what `functional` was learned from."""
    several_tails: Count = 0
    """Those of `heads` that have several."""
    tails: Count = 0
    several_heads: Count = 0

    @property
    def empty(self) -> bool:
        """Whether it forbids nothing that the model's own types do not forbid."""
        return self.allowed is None and not (self.functional or self.inverse_functional)

    def given(self) -> dict[str, Any]:
        """The rule as a relation of a types file has it, beside `symmetric`."""
        tree = self.model_dump(exclude_defaults=True)
        return {key: tree[key] for key in KEYS if key in tree}


KEYS = ("allowed", "functional", "inverse_functional")
"""What a relation of a types file may have, beside SpERT's keys."""


class Constraints(Record):
    """Rules by relation type. A type without a rule is free."""

    relations: dict[str, Rule]
    note: str = ""
    """Where they come from: `learned from conll04 train`, `given in types.json`."""
    sentences: Count = 0
    """That they were learned from; 0 where they were given."""

    def to_json(self) -> dict[str, Any]:
        """A mapping that `read_constraints` reads back."""
        return self.model_dump(exclude_defaults=True) | {"note": self.note}

    def lines(self) -> list[str]:
        """For people: a line a relation type, after one that says where they come from."""
        return [f"constraints: {self.note}", *(f"  {line}" for line in self.rules())]

    def rules(self) -> list[str]:
        """A line for each relation type: its pairs of types with their counts, then what else holds."""
        return [f"{name}: {_told(rule)}" for name, rule in self.relations.items()]

    def renamed(self, names: Mapping[str, str]) -> Constraints:
        """These constraints under other names of types."""
        rules = {}
        for name, rule in self.relations.items():
            pairs = rule.allowed and [
                pair.model_copy(update={"head": names[pair.head], "tail": names[pair.tail]}) for pair in rule.allowed
            ]
            rules[names[name]] = rule.model_copy(update={"allowed": pairs})
        return self.model_copy(update={"relations": rules})

    def check(self, schema: Schema, what: str) -> Constraints:
        """Return these constraints. Raises InputError, beginning with `what`, for a type that the schema has not."""
        for name, rule in self.relations.items():
            _known(name, schema.relation_types, "relation", what)
            for pair in rule.allowed or ():
                for role, kind in (("head", pair.head), ("tail", pair.tail)):
                    _known(kind, schema.entity_types, "entity", f"{what}: relation '{name}': a {role}")
        return self


TOLD = 8
"""Pairs of types in a line for people; all of them stand in the file."""


def _known(name: str, known: tuple[str, ...], kind: str, what: str) -> None:
    if name not in known:
        raise InputError(
            f"{what}: there is no {kind} type '{name}'; there are: {', '.join(known) or 'none'}{nearest(name, known)}"
        )


def _told(rule: Rule) -> str:
    if rule.allowed is None:
        pairs = "any types"
    else:
        # The more frequent ones first; the order of the file where nothing was counted.
        ordered = sorted(rule.allowed, key=lambda pair: -pair.count)
        told = [f"{p.head} → {p.tail}" + (f" ({p.count})" if p.count else "") for p in ordered[:TOLD]]
        pairs = ", ".join(told) + (f" and {len(ordered) - TOLD} more" if len(ordered) > TOLD else "")
    also = [
        f"{name} ({_of(several, there, what)})" if there else name
        for name, holds, several, there, what in (
            ("functional", rule.functional, rule.several_tails, rule.heads, "tails"),
            ("inverse_functional", rule.inverse_functional, rule.several_heads, rule.tails, "heads"),
            ("symmetric", rule.symmetric, 0, 0, ""),
        )
        if holds
    ]
    return "; ".join([pairs, *also])


def _of(several: int, there: int, what: str) -> str:
    have = "has" if several == 1 else "have"
    return f"{several} of {counted(there, 'entity', 'entities')} with a choice {have} several {what}"


def given_constraints(relations: Mapping[str, Any], what: str, named: str) -> Constraints | None:
    """Return the constraints of a types file's `relations`; None where it gives none.

    what: begins an error's sentence; named: the file, in notes. Raises InputError for a value of another type, an empty
    list of allowed types, and a key that seems misspelt.
    """
    rules = {}
    for name, tree in relations.items():
        if not isinstance(tree, Mapping):
            continue
        for key in tree:
            near = nearest(key, KEYS) if key not in {*KEYS, *_SPERT} else ""
            if near:
                raise InputError(f"{what}: relation '{name}': '{key}' is no rule{near}")
        rule = {key: tree[key] for key in KEYS if key in tree}
        found = parsed(Rule, rule | {"symmetric": tree.get("symmetric") is True}, f"{what}: relation '{name}'")
        if not found.empty:
            rules[name] = found
    return Constraints(relations=rules, note=f"given in {named}") if rules else None


_SPERT = ("short", "verbose", "symmetric")


def read_constraints(tree: Any, schema: Schema, what: str) -> Constraints | None:
    """Return what a record holds; None of an earlier version's. Raises InputError, beginning with `what`, as `check` does."""
    return None if tree is None else parsed(Constraints, tree, what).check(schema, what)
