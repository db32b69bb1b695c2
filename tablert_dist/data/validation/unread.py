"""What the readers left out or changed."""

from __future__ import annotations

from collections.abc import Iterator

from tablert_dist.data.validation.finding import Case, Finding
from tablert_dist.errors import counted


def find(case: Case) -> Iterator[Finding]:
    """Records left out, as a warning, and a note for each kind of what else was left out or changed."""
    seen = case.seen
    if seen.left_out:
        few = seen.left_out == 1
        yield Finding(
            "left out",
            "warning",
            case.name,
            seen.left_out,
            f"{counted(seen.left_out, 'record')} cannot be read and {'is' if few else 'are'} left out, the first: "
            f"{seen.reasons[0]}",
            "correct the record" if few else "correct the records; --strict refuses the first of them",
            "; ".join(seen.reasons[1:4]),
        )
    for what, number, where in seen.counts():
        yield Finding(
            "changed in reading",
            "note",
            case.name,
            number,
            f"{number} {what}, the first: {where}",
            "nothing, unless it is not what the file means; --strict refuses what is at fault",
        )
