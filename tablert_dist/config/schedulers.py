"""The schedulers that stop a search's worse trials early: Tune's class, and its settings. A new one is an entry here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Limits(Protocol):
    """The options that the settings are made of, from `tune` (`config/tree.py`)."""

    @property
    def grace_epochs(self) -> int:
        """Epochs that every trial runs."""
        ...

    @property
    def reduction_factor(self) -> int:
        """ASHA keeps one in this many trials."""
        ...

    @property
    def min_samples(self) -> int:
        """Other trials that the median rule compares with."""
        ...


@dataclass(frozen=True)
class SchedulerSpec:
    """One value of `tune.scheduler`."""

    rule: str
    """The name of Tune's class, in `ray.tune.schedulers`."""
    settings: Callable[[int, Limits], dict[str, Any]]
    """Its arguments beside the metric, from `train.epochs` and `tune`. Epochs are our own."""


SCHEDULERS: Mapping[str, SchedulerSpec] = {
    "asha": SchedulerSpec(
        "ASHAScheduler",
        lambda epochs, tune: {
            "max_t": epochs - 1,
            "grace_period": tune.grace_epochs,
            "reduction_factor": tune.reduction_factor,
            "stop_last_trials": False,
        },
    ),
    # The rule pauses a trial of which it cannot judge yet, so that others come to their turn; starting its workers
    # again costs more than it gives, and an endless time slice never ends.
    "median": SchedulerSpec(
        "MedianStoppingRule",
        lambda epochs, tune: {
            "grace_period": tune.grace_epochs,
            "min_samples_required": tune.min_samples,
            "min_time_slice": math.inf,
            "hard_stop": True,
        },
    ),
}
STAYS = "but here checkpoints stay with their trial and Tune is passed its metrics only"
REFUSED = {
    "pbt": f"Population Based Training lets a trial go on from a better one's checkpoint, {STAYS}",
    "pb2": f"Population Based Bandits let a trial go on from a better one's checkpoint, {STAYS}",
    "hyperband": f"HyperBand pauses trials and resumes them from Tune's checkpoint, {STAYS}",
    "bohb": f"BOHB pauses trials and resumes them from Tune's checkpoint, {STAYS}",
}
"""Schedulers that are known elsewhere and cannot work here, with the reason."""


def known_scheduler(value: str) -> str:
    """Return the name of a scheduler, or `none`. Raises ValueError with those there are, or why it cannot work here."""
    names = ["none", *SCHEDULERS]
    if reason := REFUSED.get(value.lower()):
        raise ValueError(f"{reason}; use {', '.join(names[:-1])} or {names[-1]}")
    if value not in names:
        raise ValueError(f"no such scheduler; use {', '.join(names[:-1])} or {names[-1]}")
    return value
