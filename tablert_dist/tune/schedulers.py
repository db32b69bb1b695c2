"""Stopping the worse trials early: ASHA or the median rule, counting our own epochs, also after a restart."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tablert_dist.config import Config
from tablert_dist.tune.trials import METRIC, Trial


@dataclass(frozen=True)
class _Past:
    """A trial of before the restart, as far as a scheduler looks at one."""

    trial_id: str


def make_scheduler(config: Config, ended: Sequence[Trial]) -> Any:
    """Tune's scheduler for `tune.scheduler`, knowing what the trials that have ended reported; None where none stops.

    Epochs are our own and not `training_iteration`, which starts again at 1 after a restart. A trial that has come to
    its last epoch is not stopped any more: it only has its result to write.
    """
    epochs, tune = config.train.epochs, config.tune
    if tune.scheduler == "none" or tune.grace_epochs >= epochs:
        return None
    from ray.tune.schedulers import TrialScheduler

    kind, settings = SCHEDULERS[tune.scheduler](config)

    class Sparing(kind):  # type: ignore[misc, valid-type]
        def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> Any:
            if result.get("epoch", 0) >= epochs:
                return TrialScheduler.CONTINUE
            return super().on_trial_result(tune_controller, trial, result)

    scheduler = Sparing(time_attr="epoch", metric=METRIC, mode="max", **settings)
    for trial in ended:
        for row in trial.history:
            # A completed trial is noted without a decision on it, by both rules.
            scheduler.on_trial_add(None, _Past(trial.name))
            scheduler.on_trial_complete(None, _Past(trial.name), row)
    return scheduler


def _asha(config: Config) -> tuple[type, dict[str, Any]]:
    from ray.tune.schedulers import ASHAScheduler

    return ASHAScheduler, {
        "max_t": config.train.epochs - 1,
        "grace_period": config.tune.grace_epochs,
        "reduction_factor": config.tune.reduction_factor,
        "stop_last_trials": False,
    }


def _median(config: Config) -> tuple[type, dict[str, Any]]:
    from ray.tune.schedulers import MedianStoppingRule

    # The rule pauses a trial of which it cannot judge yet, so that others come to their turn; starting its workers
    # again costs more than it gives, and an endless time slice never ends.
    return MedianStoppingRule, {
        "grace_period": config.tune.grace_epochs,
        "min_samples_required": config.tune.min_samples,
        "min_time_slice": math.inf,
        "hard_stop": True,
    }


SCHEDULERS: Mapping[str, Callable[[Config], tuple[type, dict[str, Any]]]] = {"asha": _asha, "median": _median}
"""By `tune.scheduler`: Tune's class and its settings. One that is not here raises KeyError; `none` needs no entry."""
