"""The page's plots as plain SVG geometry: bars by type, histograms of lengths. Units are pixels of the view box."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH = 420.0
BARS = 24
"""Most bars of a histogram."""


@dataclass(frozen=True)
class Bar:
    """A rectangle; `series` is its split's index, `says` the tooltip."""

    x: float
    y: float
    width: float
    height: float
    series: int
    says: str


@dataclass(frozen=True)
class Tick:
    """A mark on the horizontal axis."""

    x: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """Shares of sentences by length; `limit` is where the encoder's limit lies, if that is on the axis."""

    title: str
    height: float
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    limit: float | None
    facts: tuple[str, ...]


def histogram(
    title: str, counts: Mapping[str, Mapping[int, int]], limit: int | None = None, height: float = 120.0
) -> Histogram:
    """`counts[split][length]`. Splits are drawn side by side in each bin, as shares of their own sentences."""
    most = max((length for found in counts.values() for length in found), default=1)
    step = _round_up(most / BARS)
    bins = most // step + 1
    slot = WIDTH / bins
    shares = {
        split: [sum(n for length, n in found.items() if length // step == b) / max(1, sum(found.values())) for b in range(bins)]
        for split, found in counts.items()
    }  # fmt: skip
    top = max((share for values in shares.values() for share in values), default=0) or 1
    wide = slot * 0.86 / max(1, len(counts))
    bars = [
        Bar(
            round(b * slot + slot * 0.07 + series * wide, 2),
            round(height * (1 - share / top), 2),
            round(wide, 2),
            round(height * share / top, 2),
            series,
            f"{split}: {100 * share:.1f} % have {b * step}–{(b + 1) * step - 1}",
        )
        for series, (split, values) in enumerate(shares.items())
        for b, share in enumerate(values)
        if share
    ]
    every = max(1, math.ceil(bins / 6))
    ticks = tuple(Tick(round(b * slot, 2), str(b * step)) for b in range(0, bins, every))
    at = limit / step * slot if limit is not None and limit <= bins * step else None
    return Histogram(title, height, tuple(bars), ticks, at, tuple(_facts(counts)))


def _facts(counts: Mapping[str, Mapping[int, int]]) -> list[str]:
    facts = []
    for split, found in counts.items():
        if total := sum(found.values()):
            mean = sum(length * n for length, n in found.items()) / total
            facts.append(f"{split}: mean {mean:.1f}, longest {max(found)}")
    return facts


def _round_up(value: float) -> int:
    """1, 2 or 5 times a power of ten, at least `value` and 1."""
    power = 10 ** math.floor(math.log10(max(value, 1)))
    return int(next(f * power for f in (1, 2, 5, 10) if f * power >= value))


@dataclass(frozen=True)
class TypeRow:
    """A type with its count in each split, and the counts as shares (0–1) of the largest of the chart."""

    name: str
    counts: tuple[int, ...]
    shares: tuple[float, ...]


def type_rows(types: Sequence[str], counts: Sequence[Mapping[str, int]]) -> tuple[TypeRow, ...]:
    """Rows in the schema's order; types that the schema lacks come last."""
    names = [*types, *sorted({name for found in counts for name in found} - set(types))]
    top = max((n for found in counts for n in found.values()), default=0) or 1
    return tuple(
        TypeRow(name, tuple(f.get(name, 0) for f in counts), tuple(f.get(name, 0) / top for f in counts))
        for name in names
    )
