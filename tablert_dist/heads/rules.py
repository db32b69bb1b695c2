"""Constraints for the types of one model: what a relation may be, what excludes what, and which triples break a rule.

Axes: P pairs of entities, R relation tags, K entities, M relations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tablert_dist.errors import counted
from tablert_dist.heads.consistent import Candidate, choose
from tablert_dist.heads.constraints import Constraints, Rule
from tablert_dist.schema import Relation, Sentence
from tablert_dist.storage.records import Record
from tablert_dist.tags import Floats, Ints, TagSet

Key = tuple[str, str, Hashable]
"""Relation type, `of`, `from` or `to`, and the entity."""


class Broken(Record):
    """Triples that break a rule: taken by falling probability, those that cannot stand beside the ones before."""

    triples: int = 0
    """Each counts once, whatever it breaks."""
    among: int = 0
    """All triples."""
    types: int = 0
    """Pairs of types that are not allowed."""
    functional: int = 0
    inverse_functional: int = 0
    symmetric: int = 0
    """The second direction of a pair."""

    def __str__(self) -> str:
        reasons = {
            "types": self.types,
            "functional": self.functional,
            "inverse_functional": self.inverse_functional,
            "symmetric": self.symmetric,
        }
        told = ", ".join(f"{name} {n}" for name, n in reasons.items() if n)
        return f"{self.triples} of {counted(self.among, 'triple')}" + (f" ({told})" if told else "")


@dataclass(frozen=True, eq=False)
class Rules:
    """Constraints that know a model's tags. Make them with `Rules.of`."""

    constraints: Constraints
    symmetric: frozenset[str]
    """Relation types without a direction: the model's, and those that the constraints add."""
    allowed_pairs: frozenset[tuple[str, str, str]]
    """(head type, relation, tail type)."""
    allowed_REE: NDArray[np.bool_]
    """By relation tag and the places of the types of the entity that comes first, and of the other."""
    tag_types: tuple[str, ...]
    """Relation type of each tag but `none`."""
    tag_left: NDArray[np.bool_]
    """[R] whether the head comes second."""

    @staticmethod
    def of(constraints: Constraints, tags: TagSet, what: str = "constraints") -> Rules:
        """Raises InputError, beginning with `what`, for a type that the model does not know."""
        schema = tags.schema
        constraints.check(schema, what)
        rules = {name: constraints.relations.get(name, Rule()) for name in schema.relation_types}
        symmetric = schema.symmetric | {name for name, rule in rules.items() if rule.symmetric}
        pairs = set()
        for name, rule in rules.items():
            every = ((head, tail) for head in schema.entity_types for tail in schema.entity_types)
            for head, tail in every if rule.allowed is None else ((p.head, p.tail) for p in rule.allowed):
                pairs.add((head, name, tail))
                if name in symmetric:
                    pairs.add((tail, name, head))
        place = {name: i for i, name in enumerate(schema.entity_types)}
        relations = [tags.relation_of(i) for i in range(len(tags.relation_tags))]
        left = np.asarray([r is not None and r[1] == "left" and r[0] not in symmetric for r in relations])
        allowed = np.zeros((len(relations), len(place), len(place)), bool)
        for tag, relation in enumerate(relations):
            for head, name, tail in pairs:
                if relation is not None and name == relation[0]:
                    ends = (tail, head) if left[tag] else (head, tail)
                    allowed[tag, place[ends[0]], place[ends[1]]] = True
        named = tuple(r[0] for r in relations if r)
        return Rules(constraints, frozenset(symmetric), frozenset(pairs), allowed, named, left)

    def allows(self, relation: Relation) -> bool:
        """Whether the types of its arguments are allowed."""
        return (relation.head.type, relation.type, relation.tail.type) in self.allowed_pairs

    def keys(self, kind: str, head: Hashable, tail: Hashable) -> tuple[Key, ...]:
        """What a relation shares with those that it excludes, beside what its pair does."""
        rule = self.constraints.relations.get(kind)
        if rule is None or not (rule.functional or rule.inverse_functional):
            return ()
        if kind in self.symmetric:
            return (kind, "of", head), (kind, "of", tail)
        found: list[Key] = []
        if rule.functional:
            found.append((kind, "from", head))
        if rule.inverse_functional:
            found.append((kind, "to", tail))
        return tuple(found)

    def turned(self, relation: Relation) -> Relation:
        """The relation; of a symmetric type with the entity that comes first as its head."""
        if relation.type in self.symmetric and relation.tail < relation.head:
            return replace(relation, head=relation.tail, tail=relation.head)
        return relation

    def of_cells(
        self, logits_PR: Floats, sentence_P: Ints, first_P: Ints, second_P: Ints, types_K: Ints
    ) -> tuple[Ints, Ints, Floats]:
        """Choose a table's relations. `first` and `second`: places of the entities of each pair, by sentence.

        Returns the pairs that are related [M], in order, their tags [M], and their log odds against `none` [M].
        """
        odds: NDArray[np.float64] = logits_PR.astype(np.float64) - logits_PR[:, :1]
        best = odds.argmax(-1)
        likely = (odds > 0) & self.allowed_REE[:, types_K[first_P], types_K[second_P]].T
        rows, tags = np.nonzero(likely)
        kept: list[int] = []
        # Candidates come by pair, pairs by sentence.
        for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(sentence_P[rows])) + 1):
            candidates = []
            for row, tag in zip(rows[part].tolist(), tags[part].tolist(), strict=True):
                ends = (int(first_P[row]), int(second_P[row]))
                head, tail = ends[::-1] if self.tag_left[tag] else ends
                # Its pair is a key too: a cell holds one tag.
                keys = (row, *self.keys(self.tag_types[tag - 1], head, tail))
                candidates.append(Candidate(float(odds[row, tag]), keys, ends, bool(tag == best[row])))
            kept += part[choose(candidates)].tolist()
        return np.asarray(rows[kept]), np.asarray(tags[kept]), np.asarray(odds[rows[kept], tags[kept]])

    def settle(self, sentence: Sentence) -> Sentence:
        """The sentence without the relations that break a rule: the most probable of those that exclude each other stay.

        For relations that were found apart: by pairs, or in the windows of one long sentence.
        """
        best: dict[Relation, Relation] = {}
        for relation in map(self.turned, sentence.relations):
            if self.allows(relation) and (relation not in best or _odds(best[relation]) < _odds(relation)):
                best[relation] = relation
        place = {entity: i for i, entity in enumerate(sentence.entities)}
        found = list(best.values())
        candidates = [
            Candidate(_odds(r), self.keys(r.type, *ends), ends)
            for r in found
            for ends in [(place[r.head], place[r.tail])]
        ]
        kept = tuple(found[i] for i in choose(candidates))
        return sentence if kept == sentence.relations else replace(sentence, relations=kept)

    def broken(self, sentences: Iterable[Sentence]) -> Broken:
        """Count the triples that break a rule."""
        found: Counter[str] = Counter()
        for sentence in sentences:
            found["among"] += len(set(sentence.relations))
            for _, reasons in self._breaking(sentence.relations):
                found.update(("triples", *reasons))
        return Broken(**found)

    def most_broken(self, sentences: Iterable[Sentence], most: int = 5) -> list[str]:
        """Lines for people: the rules that most triples break, with how many do."""
        found: Counter[str] = Counter()
        for sentence in sentences:
            for r, reasons in self._breaking(sentence.relations):
                types = f"{r.head.type} → {r.tail.type}"
                found.update(f"{r.type}: {types if reason == 'types' else reason}" for reason in reasons)
        lines = [f"{n} × {rule}" for rule, n in found.most_common(most)]
        return lines + ([f"and {len(found) - most} more"] if len(found) > most else [])

    def _breaking(self, relations: Iterable[Relation]) -> Iterator[tuple[Relation, list[str]]]:
        """The relations that break a rule, each with which: fields of `Broken`."""
        stand: set[Hashable] = set()
        for relation in sorted(dict.fromkeys(relations), key=lambda r: -(r.probability or 0.0)):
            r = self.turned(relation)
            twice = (r.type, r) in stand
            # The other direction takes its arguments already.
            ways = set() if twice else {key[1] for key in self.keys(r.type, r.head, r.tail) if key in stand}
            reasons = {
                "types": not self.allows(r),
                "symmetric": twice,
                "functional": bool(ways & {"of", "from"}),
                "inverse_functional": "to" in ways,
            }
            if any(reasons.values()):
                yield relation, [name for name, broken in reasons.items() if broken]
            else:
                stand.update(((r.type, r), *self.keys(r.type, r.head, r.tail)))


def _odds(relation: Relation) -> float:
    """What decides between relations; probabilities do where nobody kept more."""
    return (relation.probability or 0.0) if relation.odds is None else relation.odds
