"""The exceptions whose message is all that a user needs: a mistake in the input, a run that failed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Input that cannot be used: names the file or key, the record, the reason and, where there is one, the right call."""


class RunError(RuntimeError):
    """A run that failed though its input was good: says what happened and where to look."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'X'?` for the known word most like `word`, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""
