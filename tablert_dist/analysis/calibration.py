"""Whether probabilities mean what they say, and which threshold gives a wanted precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Predictions whose probability lies in one tenth: how many, what they say on average, how many are right."""

    low: float
    high: float
    count: int
    confidence: float
    precision: float


@dataclass(frozen=True)
class Calibration:
    """The reliability curve, and the expected calibration error: the mean |precision − confidence| over predictions."""

    bins: tuple[Bin, ...]
    ece: float
    count: int


@dataclass(frozen=True)
class Threshold:
    """The least probability from which on a type's predictions have the wanted precision; None: none has it.

    `precision` and `recall` are those of the predictions that are left.
    """

    type: str
    wanted: float
    threshold: float | None
    precision: float
    recall: float
    kept: int


def calibrate(probabilities: Sequence[float], right: Sequence[bool]) -> Calibration:
    """Of predictions with these probabilities, of which these are right. Tenths without a prediction are left out."""
    p, ok = np.asarray(probabilities, np.float64), np.asarray(right, np.float64)
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    bins, error = [], 0.0
    for b in range(BINS):
        inside = place == b
        if inside.any():
            confidence, precision = float(p[inside].mean()), float(ok[inside].mean())
            bins.append(Bin(b / BINS, (b + 1) / BINS, int(inside.sum()), confidence, precision))
            error += abs(precision - confidence) * int(inside.sum())
    return Calibration(tuple(bins), error / len(p) if len(p) else 0.0, len(p))


def threshold_for(
    kind: str, probabilities: Sequence[float], right: Sequence[bool], gold: int, wanted: float
) -> Threshold:
    """The lowest threshold whose predictions are right at least `wanted` (0–1) of the time; `gold` items there are."""
    p, ok = np.asarray(probabilities, np.float64), np.asarray(right, bool)
    order = np.argsort(-p, kind="stable")
    hits = np.cumsum(ok[order])
    # A cut lies behind the last of equal probabilities.
    last = np.append(np.diff(p[order]) != 0, True) if len(p) else np.zeros(0, bool)
    good = np.flatnonzero(last & (hits >= wanted * np.arange(1, len(p) + 1)))
    if not len(good):
        return Threshold(kind, wanted, None, 0.0, 0.0, 0)
    end = int(good[-1])
    kept, right_ones = end + 1, int(hits[end])
    # What lies below is left out, so the threshold is the lowest kept probability itself.
    return Threshold(kind, wanted, float(p[order][end]), right_ones / kept, right_ones / gold if gold else 0.0, kept)
