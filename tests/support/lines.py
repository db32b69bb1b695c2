"""What a command said, without the lines of long waits, which a slow machine adds."""

from __future__ import annotations

import re


def told(text: str) -> list[str]:
    """The lines but those like `starting Ray …` and `starting Ray … 7 s`."""
    return [line for line in text.splitlines() if not re.search(r" …( \d+ s)?$", line)]
