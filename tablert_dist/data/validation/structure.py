"""The shape of the annotation: overlaps, order, repetitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tablert_dist.data.validation.finding import Case, Finding, SplitPart, short
from tablert_dist.data.validation.oracle import WIDEST, with_head
from tablert_dist.data.validation.types import arguments
from tablert_dist.errors import counted
from tablert_dist.heads.base import lost_to_overlap
from tablert_dist.schema import Entity, Sentence, overlapping_pairs


def find(case: Case) -> Iterator[Finding]:
    """For each split: overlapping entities, entities out of order, repeated items."""
    for part in case.parts:
        yield from _overlaps(case, part)
        yield from _order(part)
        yield from _repeated(part)


def _overlaps(case: Case, part: SplitPart) -> Iterator[Finding]:
    scheme, tags = case.scheme, case.tags
    found = [
        (i, s, pairs)
        for i, s in enumerate(part.sentences)
        if (pairs := overlapping_pairs(s)) and lost_to_overlap(scheme, s, tags)
    ]
    if not found:
        return
    total = sum(len(pairs) for _, _, pairs in found)
    nested = sum(_nests(a, b) for _, _, pairs in found for a, b in pairs)
    same = sum((a.start, a.end) == (b.start, b.end) for _, _, pairs in found for a, b in pairs)
    crossing = total - nested
    kinds = [f"{nested} nested"] + ([f"{crossing} crossing"] if crossing else [])
    kinds += [f"{same} of them the same span with two types"] if same else []
    index, sentence, pairs = found[0]
    refused = case.overlap == "error"
    yield Finding(
        "overlap",
        "error" if refused else "warning",
        part.file,
        total,
        f"{counted(total, 'pair')} of entities {'overlaps' if total == 1 else 'overlap'} in {counted(len(found), 'sentence')} "
        f"({', '.join(kinds)}), which {case.head.form} cannot hold",
        _overlap_advice(case, [s for _, s, _ in found]),
        " and ".join(f"{e.type} {short([sentence.text_of(e)], 40)}" for e in pairs[0]),
        index,
    )


def _overlap_advice(case: Case, sentences: Sequence[Sentence]) -> str:
    wide = with_head(case, WIDEST)
    other = not any(lost_to_overlap(wide.scheme, s, wide.tags) for s in sentences)
    head = f"--set model.head={WIDEST} holds all of them"
    if case.overlap == "error":
        choice = "training refuses them: choose --set data.overlap=keep-gold, drop-pair or keep-longest"
        return f"{choice}; {head}" if other else choice
    ruled = f"nothing: data.overlap = {case.overlap} decides what is trained on"
    return f"{ruled}; {head}" if other else ruled


def _nests(a: Entity, b: Entity) -> bool:
    return (a.start <= b.start and b.end <= a.end) or (b.start <= a.start and a.end <= b.end)


def _order(part: SplitPart) -> Iterator[Finding]:
    unsorted = [i for i, s in enumerate(part.sentences) if list(s.entities) != sorted(s.entities, key=_position)]
    if unsorted:
        first = part.sentences[unsorted[0]]
        yield Finding(
            "unsorted",
            "note",
            part.file,
            len(unsorted),
            f"{counted(len(unsorted), 'sentence')} {'lists its' if len(unsorted) == 1 else 'list their'} entities out of order",
            "nothing: relations find their entities by index in the list, not by position",
            " before ".join(short([first.text_of(e)], 24) for e in first.entities[:2]),
            unsorted[0],
        )


def _position(entity: Entity) -> tuple[int, int]:
    return entity.start, entity.end


def _repeated(part: SplitPart) -> Iterator[Finding]:
    kinds: tuple[tuple[str, Callable[[Sentence], Any], Callable[[Sentence, Any], str]], ...] = (
        ("entity", lambda s: s.entities, lambda s, e: f"{e.type} {short([s.text_of(e)])}"),
        ("relation", lambda s: s.relations, arguments),
    )
    for kind, items, shown in kinds:
        found = [
            (i, s, item, n - 1) for i, s in enumerate(part.sentences) for item, n in Counter(items(s)).items() if n > 1
        ]
        if found:
            index, sentence, item, _ = found[0]
            total = sum(extra for *_, extra in found)
            yield Finding(
                f"repeated-{kind}",
                "note",
                part.file,
                total,
                f"{counted(total, kind, 'entities' if kind == 'entity' else 'relations')} "
                f"{'is' if total == 1 else 'are'} listed again in the same sentence",
                "nothing: it counts once; look whether another one was meant",
                shown(sentence, item),
                index,
            )
