"""Relation types that are written in both directions, as if they had none: proposed as symmetric, with what that gains."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace

from tablert_dist.data.directions import directions, undirected
from tablert_dist.data.validation.finding import Case, Finding, SplitPart, records
from tablert_dist.data.validation.oracle import held, with_symmetric
from tablert_dist.data.validation.types import arguments
from tablert_dist.schema import Relation, Sentence
from tablert_dist.scoring import Counts

Place = tuple[SplitPart, int, Sentence]


def proposed(case: Case) -> list[str]:
    """The types that seem symmetric and are not declared so, over all splits."""
    found = directions(sentence for _, _, sentence in records(case))
    return [d.type for d in undirected(found.values(), case.schema.symmetric)]


def find(case: Case) -> Iterator[Finding]:
    """One finding a type, with the oracle RE+ over all splits, as it is and with this type symmetric."""
    found = directions(sentence for _, _, sentence in records(case))
    types = undirected(found.values(), case.schema.symmetric)
    if not types:
        return
    # Symmetry changes nothing in a sentence that has the type in one direction: only the others are counted again.
    places: dict[str, list[Place]] = {d.type: [] for d in types}
    for place in records(case):
        for name, d in directions([place[2]]).items():
            if d.both and name in places:
                places[name].append(place)
    _, now = held(case, [sentence for _, _, sentence in records(case)])
    before = now.scores().f1("re_plus")
    for d in types:
        part, index, sentence = places[d.type][0]
        after = _with(case, now, d.type, [s for _, _, s in places[d.type]])
        example = next(r for r in sentence.relations if r.type == d.type and _turned(r) in sentence.relations)
        yield Finding(
            "symmetric",
            "warning" if after > before else "note",
            part.file,
            d.both,
            f"the relation type '{d.type}' stands in both directions on {d.both} of {d.pairs} pairs, as if it had none: the "
            f"best possible RE+ F1 over all splits is {100 * before:.2f}, with the type symmetric {100 * after:.2f}",
            _advice(case, d.type),
            f"{arguments(sentence, example)} and back",
            index,
        )


def _turned(relation: Relation) -> Relation:
    return replace(relation, head=relation.tail, tail=relation.head)


def _with(case: Case, now: Counts, name: str, sentences: list[Sentence]) -> float:
    """The oracle RE+ with the type symmetric, which changes the counts of these sentences only."""
    _, old = held(case, sentences)
    _, new = held(with_symmetric(case, [name]), sentences)
    return Counts(new.schema, now.table - old.table + new.table).scores().f1("re_plus")


def _advice(case: Case, name: str) -> str:
    if case.types_file:
        return f"if the two directions say the same, write \"symmetric\": true for '{name}' in the types file"
    return (
        "if the two directions say the same, declare it: `tablert data convert IN OUT --symmetric "
        f"{shlex.quote(name)}` writes a types file beside OUT that does"
    )
