"""What the data is: entities and relations as word spans in a sentence, and the schema of their types."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from tablert_dist.errors import InputError


@dataclass(frozen=True, slots=True, order=True)
class Entity:
    """A typed span of words `start … end - 1` (half-open). Probabilities play no part in equality."""

    start: int
    end: int
    type: str
    probability: float | None = field(default=None, compare=False)
    uncalibrated: float | None = field(default=None, compare=False, repr=False)
    """The probability as the network has it, where a temperature made another of it."""

    @property
    def rank(self) -> float:
        """What decides between overlapping entities: the network's own probability, so that a temperature changes none."""
        return (self.probability if self.uncalibrated is None else self.uncalibrated) or 0.0


@dataclass(frozen=True, slots=True, order=True)
class Relation:
    """A typed, directed pair of entities. `probability` plays no part in equality."""

    head: Entity
    tail: Entity
    type: str
    probability: float | None = field(default=None, compare=False)
    odds: float | None = field(default=None, compare=False, repr=False)
    """Log odds against no relation as the network has them, where constraints chose: no temperature changes the choice."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words with their entities and relations. Raises InputError where the parts do not fit together."""

    words: tuple[str, ...]
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
    id: str | None = None
    document: str | None = field(default=None, compare=False)
    """The document that it is from, where the data say so: what belongs together when data are split."""
    text: str | None = field(default=None, compare=False, repr=False)
    """Its characters as they were read, where the data are raw text; `offsets[n]` are word n's in it, half-open."""
    offsets: tuple[tuple[int, int], ...] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.text is not None or self.offsets is not None:
            _check_offsets(self.words, self.text, self.offsets)
        for entity in self.entities:
            where = f"entity {entity.type} [{entity.start}, {entity.end})"
            if entity.start >= entity.end:
                raise InputError(f"{where} has no words: 'end' is exclusive and must be above 'start'")
            if entity.start < 0 or entity.end > len(self.words):
                raise InputError(f"{where} lies outside the sentence of {len(self.words)} words ('end' is exclusive)")
        known = set(self.entities)
        for relation in self.relations:
            for role, entity in (("head", relation.head), ("tail", relation.tail)):
                if entity not in known:
                    raise InputError(f"relation {relation.type}: its {role} {entity} is no entity of the sentence")

    @staticmethod
    def unchecked(words: tuple[str, ...], entities: tuple[Entity, ...], relations: tuple[Relation, ...]) -> Sentence:
        """Make a sentence of parts that are known to fit together: what a decoder made of tables needs no check."""
        sentence = object.__new__(Sentence)
        for name, value in zip(_FIELDS, (words, entities, relations, None, None, None, None), strict=True):
            object.__setattr__(sentence, name, value)
        return sentence

    def text_of(self, entity: Entity) -> str:
        """The entity's words, joined by spaces."""
        return " ".join(self.words[entity.start : entity.end])


_FIELDS = tuple(field.name for field in fields(Sentence))


def _check_offsets(words: tuple[str, ...], text: str | None, offsets: tuple[tuple[int, int], ...] | None) -> None:
    if text is None or offsets is None:
        raise InputError("a sentence has both 'text' and 'offsets' or neither")
    if len(offsets) != len(words):
        raise InputError(f"a sentence of {len(words)} words has {len(offsets)} offsets")
    before = 0
    for n, ((start, end), word) in enumerate(zip(offsets, words, strict=True)):
        if start < before or text[start:end] != word:
            raise InputError(
                f"offsets[{n}] = [{start}, {end}) is '{text[start:end]}' in the text, not word {n}, '{word}'"
            )
        before = end


@dataclass(frozen=True, slots=True)
class Schema:
    """The types, in the order that fixes the label ids, and which relation types have no direction."""

    entity_types: tuple[str, ...]
    relation_types: tuple[str, ...]
    symmetric: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for kind, types in (("entity", self.entity_types), ("relation", self.relation_types)):
            if len(set(types)) != len(types):
                raise InputError(f"schema: an {kind} type is listed twice in {list(types)}")
        if not self.entity_types:
            raise InputError("schema: there is no entity type")
        if unknown := self.symmetric - set(self.relation_types):
            raise InputError(f"schema: symmetric types {sorted(unknown)} are no relation types")

    def to_json(self) -> dict[str, Any]:
        """A mapping that `from_json` reads back."""
        return {
            "entity_types": list(self.entity_types),
            "relation_types": list(self.relation_types),
            "symmetric": sorted(self.symmetric),
        }

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> Schema:
        """Inverse of `to_json`. Raises InputError where a key is missing or holds something else than names."""
        if not isinstance(tree, Mapping):
            raise InputError(f"schema: not a schema (an object is expected, not {type(tree).__name__})")
        named = {}
        for key in ("entity_types", "relation_types", "symmetric"):
            names = tree.get(key, () if key == "symmetric" else None)
            if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
                raise InputError(f"schema: not a schema ('{key}' must be a list of names)")
            named[key] = tuple(names)
        return Schema(named["entity_types"], named["relation_types"], frozenset(named["symmetric"]))

    @staticmethod
    def infer(sentences: Iterable[Sentence]) -> Schema:
        """The types seen, sorted; no type is symmetric."""
        entity_types: set[str] = set()
        relation_types: set[str] = set()
        for sentence in sentences:
            entity_types.update(entity.type for entity in sentence.entities)
            relation_types.update(relation.type for relation in sentence.relations)
        return Schema(tuple(sorted(entity_types)), tuple(sorted(relation_types)))


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


def distinct(relations: Iterable[Relation], symmetric: Collection[str] = ()) -> list[Relation]:
    """Each relation once, in the order of first listing; one of a `symmetric` type in either order is the same."""
    found: dict[object, Relation] = {}
    for r in relations:
        turned = r.type in symmetric and r.tail < r.head
        found.setdefault((r.type, r.tail, r.head) if turned else (r.type, r.head, r.tail), r)
    return list(found.values())


def longest(entities: Iterable[Entity]) -> set[Entity]:
    """A largest set without overlap, taken longest first. Ties are broken by the order in which they are listed."""
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
