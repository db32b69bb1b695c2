"""What the head cannot hold of the relations, with the F1 that it costs, and what would help, by cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tablert_dist.data.directions import directions
from tablert_dist.data.validation.finding import Case, Finding, SplitPart
from tablert_dist.data.validation.oracle import WIDEST, held, table_loss, with_head, with_symmetric
from tablert_dist.data.validation.symmetric import proposed
from tablert_dist.data.validation.types import arguments
from tablert_dist.heads.table_encoding import TableLoss
from tablert_dist.schema import distinct


def find(case: Case) -> Iterator[Finding]:
    """One finding for each split that has relations which the head cannot hold."""
    symmetric: list[str] | None = None
    for part in case.parts:
        report = table_loss(case, part)
        lost = _relations(report["loss"])
        if not lost:
            continue
        symmetric = proposed(case) if symmetric is None else symmetric
        total = sum(len(distinct(s.relations, case.schema.symmetric)) for s in part.sentences)
        index, example = _first_lost(case, part)
        yield Finding(
            "table",
            "warning",
            part.file,
            lost,
            f"{lost} of {total} relations cannot be held by {case.head.form} ({report['loss']}){_both_ways(case, part)}: "
            f"the best possible RE+ F1 is {100 * report['re_plus']:.2f}",
            _advice(case, part, symmetric),
            example,
            index,
        )


def _relations(loss: TableLoss) -> int:
    return loss.total - loss.entities


def _both_ways(case: Case, part: SplitPart) -> str:
    """Which types are opposite to themselves, for a table."""
    found = [d for d in directions(part.sentences).values() if d.both and d.type not in case.schema.symmetric]
    return f"; in both directions: {', '.join(map(str, found))}" if found and case.head.name != WIDEST else ""


def _advice(case: Case, part: SplitPart, symmetric: Sequence[str]) -> str:
    """What mends each cause that is there; symmetric types first, then what is lost with them declared."""
    parts = []
    here = directions(part.sentences)
    symmetric = [name for name in symmetric if name in here and here[name].both]
    then = with_symmetric(case, symmetric)
    loss, _ = held(then, part.sentences)
    if symmetric and case.head.name != WIDEST:
        names = ", ".join(map(repr, symmetric))
        parts.append(f"declare {names} symmetric, as the finding `symmetric` says")
        if _relations(loss):
            parts.append(f"of the {_relations(loss)} that are lost then")
    if not _relations(loss):
        return parts[0]
    ways = [*_other_head(then, part, _relations(loss)), *_by_hand(case, loss)]
    prefix = f"{'; '.join(parts)}: " if parts else "nothing where that score is enough; otherwise "
    return prefix + "; ".join(ways)


def _other_head(case: Case, part: SplitPart, lost: int) -> Iterator[str]:
    if case.head.name != WIDEST:
        loss, counts = held(with_head(case, WIDEST), part.sentences)
        if (more := lost - _relations(loss)) > 0:
            yield (
                f"--set model.head={WIDEST} holds {more} of them, with the best possible RE+ F1 "
                f"{100 * counts.scores().f1('re_plus'):.2f}"
            )


def _by_hand(case: Case, loss: TableLoss) -> Iterator[str]:
    if loss.two_way:
        yield "of two opposite relations that say the same leave one out"
    if loss.same_pair:
        yield "make one type of types that always stand on the same pair"
    if loss.self_relations:
        yield "leave relations of an entity with itself out: no head holds them"
    if loss.of_lost_entities:
        wider = "raise model.spert.max_span where they are too long, and " if case.head.name == WIDEST else ""
        which = "of two entities on one span" if case.head.name == WIDEST else "of two entities that overlap"
        yield f"{wider}{which} annotate one"


def _first_lost(case: Case, part: SplitPart) -> tuple[int, str]:
    """The first relation that is lost; of a symmetric one in both directions the first listed stands for both."""
    scheme, tags = case.scheme, case.tags
    for index, sentence in enumerate(part.sentences):
        kept = set(scheme.representable(sentence, tags)[0].relations)
        for relation in distinct(sentence.relations, case.schema.symmetric):
            if relation not in kept:
                return index, arguments(sentence, relation)
    return 0, ""
