"""Types: which are seen, rare, unused or unknown to train, and relations with unusual arguments."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tablert_dist.data.validation.finding import Case, Finding, Severity, SplitPart, records, short
from tablert_dist.errors import counted
from tablert_dist.schema import Relation, Sentence

RARE = 10
"""Fewer examples than this in train teach little."""
USUAL = 0.9
"""Share of a relation type's most usual argument types from which another pair of types is conspicuous."""
LEAST_RELATIONS = 20


def find(case: Case) -> Iterator[Finding]:
    """Unused, rare, unseen and look-alike types; missing annotation; rare signatures."""
    yield from _empty(case)
    yield from _counts(case)
    yield from _look_alikes(case)
    yield from _signatures(case)


def type_counts(part: SplitPart) -> dict[str, Counter[str]]:
    """`{"entity": types, "relation": types}` with how often each occurs."""
    return {
        "entity": Counter(e.type for s in part.sentences for e in s.entities),
        "relation": Counter(r.type for s in part.sentences for r in s.relations),
    }


def _empty(case: Case) -> Iterator[Finding]:
    for part in case.parts:
        entities = sum(len(s.entities) for s in part.sentences)
        relations = sum(len(s.relations) for s in part.sentences)
        if not part.sentences:
            yield Finding("empty", "error", part.file, 0, "there is no sentence", "leave the file out or fill it")
        elif not entities:
            severity: Severity = "error" if part.split == "train" else "warning"
            yield Finding(
                "empty", severity, part.file, len(part.sentences), "no sentence has an entity",
                "annotate it: without entities there is nothing to learn or to score",
            )  # fmt: skip
        elif not relations and case.schema.relation_types:
            yield Finding(
                "empty", "warning", part.file, len(part.sentences), "no sentence has a relation",
                "look whether they were lost on the way; annotate some, or take all relation types out of the types file",
            )  # fmt: skip


def _counts(case: Case) -> Iterator[Finding]:
    train = case.train
    if train is None:
        return
    seen = type_counts(train)
    known = {"entity": case.schema.entity_types, "relation": case.schema.relation_types}
    for kind, types in known.items():
        for name in types:
            count = seen[kind][name]
            if count == 0:
                yield Finding(
                    "unused-type", "warning", train.file, 0, f"the {kind} type '{name}' never occurs",
                    f"the model can never find it; {_mending(case, kind, name)}",
                )  # fmt: skip
            elif count < RARE:
                index, example = _example(train, kind, name)
                yield Finding(
                    "rare-type", "warning", train.file, count,
                    f"the {kind} type '{name}' has {counted(count, 'example')}",
                    f"annotate more (at least {RARE}), or merge it into another type", example, index,
                )  # fmt: skip
    for part in case.parts:
        if part is train:
            continue
        there = type_counts(part)
        for kind in known:
            for name in sorted(set(there[kind]) - set(seen[kind])):
                index, example = _example(part, kind, name)
                yield Finding(
                    "unseen-type", "warning", part.file, there[kind][name],
                    f"the {kind} type '{name}' occurs here and never in {train.file}",
                    "it cannot be learned: each of these counts as missed; annotate some for train, or move some there",
                    example, index,
                )  # fmt: skip


def _mending(case: Case, kind: str, name: str) -> str:
    """What to do about a type that train does not have: other splits may need it in the types file."""
    if any(type_counts(part)[kind][name] for part in case.parts):
        return "annotate some for train, or move there some of another split, which has it"
    return "take it out of the types file, or annotate some"


def _example(part: SplitPart, kind: str, name: str) -> tuple[int, str]:
    for index, sentence in enumerate(part.sentences):
        for item in sentence.entities if kind == "entity" else sentence.relations:
            if item.type == name:
                return index, arguments(sentence, item) if isinstance(item, Relation) else short(
                    [sentence.text_of(item)]
                )
    return 0, ""


def arguments(sentence: Sentence, relation: Relation) -> str:
    """The relation as `Type(head:'words', tail:'words')`."""
    head, tail = (f"{e.type} {short([sentence.text_of(e)], 30)}" for e in (relation.head, relation.tail))
    return f"{relation.type}({head}, {tail})"


def _look_alikes(case: Case) -> Iterator[Finding]:
    for kind, types in (("entity", case.schema.entity_types), ("relation", case.schema.relation_types)):
        groups: dict[str, list[str]] = defaultdict(list)
        for name in types:
            groups["".join(c for c in name.casefold() if c.isalnum())].append(name)
        for names in groups.values():
            if len(names) > 1:
                yield Finding(
                    "similar-types", "warning", case.name, len(names),
                    f"the {kind} types {', '.join(map(repr, names))} differ only in case or punctuation",
                    "write them alike, in the data and in the types file, if they are one type",
                )  # fmt: skip


def signature(relation: Relation, symmetric: bool) -> tuple[str, str]:
    """The types of the two arguments; in the order of the alphabet where the relation has no direction."""
    ends = (relation.head.type, relation.tail.type)
    return (min(ends), max(ends)) if symmetric else ends


def _signatures(case: Case) -> Iterator[Finding]:
    counts: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for _, _, sentence in records(case):
        for relation in sentence.relations:
            counts[relation.type][signature(relation, relation.type in case.schema.symmetric)] += 1
    said = set()
    for part in case.parts:
        for index, sentence in enumerate(part.sentences):
            for relation in sentence.relations:
                mine = signature(relation, relation.type in case.schema.symmetric)
                found = counts[relation.type]
                total, (usual, most) = found.total(), found.most_common(1)[0]
                if total < LEAST_RELATIONS or most < USUAL * total or found[mine] > max(1, total // 100):
                    continue
                if (relation.type, mine) in said:
                    continue
                said.add((relation.type, mine))
                count = found[mine]
                yield Finding(
                    "rare-signature", "warning", part.file, count,
                    f"{relation.type} between {mine[0]} and {mine[1]} occurs {counted(count, 'time')} in the whole corpus; "
                    f"{most} of {total} are between {usual[0]} and {usual[1]}",
                    "look whether the relation's direction or an entity's type is wrong, and correct it",
                    arguments(sentence, relation), index,
                )  # fmt: skip
