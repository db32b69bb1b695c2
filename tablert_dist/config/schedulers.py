"""The schedulers that stop a search's worse trials early: Tune's class, and its settings. A new one is an entry here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tablert_dist.config.tree import Config


@dataclass(frozen=True)
class SchedulerSpec:
    """One value of `tune.scheduler`."""

    rule: str
    """The name of Tune's class, in `ray.tune.schedulers`."""
    settings: Callable[[Config], dict[str, Any]]
    """Its arguments beside the metric. Epochs are our own: `grace_epochs` of `train.epochs`."""


SCHEDULERS: Mapping[str, SchedulerSpec] = {
    "asha": SchedulerSpec(
        "ASHAScheduler",
        lambda config: {
            "max_t": config.train.epochs - 1,
            "grace_period": config.tune.grace_epochs,
            "reduction_factor": config.tune.reduction_factor,
            "stop_last_trials": False,
        },
    ),
    # The rule pauses a trial of which it cannot judge yet, so that others come to their turn; starting its workers
    # again costs more than it gives, and an endless time slice never ends.
    "median": SchedulerSpec(
        "MedianStoppingRule",
        lambda config: {
            "grace_period": config.tune.grace_epochs,
            "min_samples_required": config.tune.min_samples,
            "min_time_slice": math.inf,
            "hard_stop": True,
        },
    ),
}
STAYS = "but here checkpoints stay with their trial and Tune is passed its metrics only"
REFUSED = {
    "pbt": f"Population Based Training lets a trial go on from a better one's checkpoint, {STAYS}",
    "pb2": f"Population Based Bandits let a trial go on from a better one's checkpoint, {STAYS}",
    "hyperband": f"HyperBand pauses trials and goes on with them from Tune's checkpoint, {STAYS}",
    "bohb": f"BOHB pauses trials and goes on with them from Tune's checkpoint, {STAYS}",
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
