"""A range of values of one configuration key: continuous, logarithmic, or whole numbers in steps."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tablert_dist.errors import InputError, nearest

KEYS = ("low", "high", "log", "step")


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included. `whole`: integers only, `step` apart. `log`: uniform in the logarithm."""

    low: float
    high: float
    log: bool = False
    step: int = 1
    whole: bool = False

    def draw(self, source: random.Random) -> float | int:
        """A value of the range."""
        if self.whole and not self.log:
            return int(self.low) + self.step * source.randrange(int(self.high - self.low) // self.step + 1)
        if not self.log:
            return source.uniform(self.low, self.high)
        # Half a number further on both sides, so that the ends are as likely as their neighbours.
        margin = 0.5 if self.whole else 0.0
        value = math.exp(source.uniform(math.log(self.low - margin), math.log(self.high + margin)))
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else value

    def probes(self) -> list[float | int]:
        """Values on which the range is tried: its ends and, of whole numbers, the second, which shows a wrong step."""
        if not self.whole:
            return [self.low, self.high]
        return sorted({int(self.low), int(self.low) + self.step, int(self.high)})


def read_range(where: str, tree: object, continuous: bool) -> Range:
    """A range from its table, such as `{ low = 1e-4, high = 1e-2, log = true }`.

    `continuous`: the key takes any number, so that whole ends mean no whole numbers. Raises InputError, its sentence
    beginning with `where`, for anything else.
    """
    if not isinstance(tree, Mapping) or not {"low", "high"} <= set(tree):
        raise InputError(f"{where} must be a table with its ends, such as {{ low = 1e-4, high = 1e-2, log = true }}")
    for key in tree:
        if key not in KEYS:
            raise InputError(f"{where} has {', '.join(KEYS)}, not '{key}'{nearest(key, KEYS)}")
    low, high = _number(where, tree, "low"), _number(where, tree, "high")
    log, step = tree.get("log", False), tree.get("step")
    whole = isinstance(low, int) and isinstance(high, int) and not continuous
    if not isinstance(log, bool):
        raise InputError(f"{where}: log = {log!r} must be true or false")
    if not low < high:
        raise InputError(f"{where}: low = {low} must be below high = {high}")
    if log and low <= 0:
        raise InputError(f"{where}: low = {low} has no logarithm; begin above 0, or leave log out")
    if step is not None:
        _check_step(where, low, high, log, step, whole)
    return Range(low, high, log, step or 1, whole)


def _number(where: str, tree: Mapping[str, Any], key: str) -> float | int:
    value = tree[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{where}: {key} = {value!r} must be a number")
    return value


def _check_step(where: str, low: float, high: float, log: bool, step: object, whole: bool) -> None:
    if not whole or log:
        raise InputError(f"{where}: step is for whole numbers, low and high too, without log")
    if isinstance(step, bool) or not isinstance(step, int) or step < 1:
        raise InputError(f"{where}: step = {step!r} must be a whole number from 1")
    if (high - low) % step:
        raise InputError(f"{where}: from low = {low} no step of {step} leads to high = {high}")
