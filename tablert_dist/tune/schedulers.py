"""Stopping the worse trials early: ASHA or the median rule, counting our own epochs, also after a restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tablert_dist.config import Config
from tablert_dist.config.schedulers import SCHEDULERS
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
    from ray.tune import schedulers

    spec = SCHEDULERS[tune.scheduler]
    kind = getattr(schedulers, spec.rule)

    class Sparing(kind):  # type: ignore[misc, valid-type]
        def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> Any:
            if result.get("epoch", 0) >= epochs:
                return schedulers.TrialScheduler.CONTINUE
            return super().on_trial_result(tune_controller, trial, result)

    scheduler = Sparing(time_attr="epoch", metric=METRIC, mode="max", **spec.settings(epochs, tune))
    for trial in ended:
        for row in trial.history:
            # A completed trial is noted without a decision on it, by both rules.
            scheduler.on_trial_add(None, _Past(trial.name))
            scheduler.on_trial_complete(None, _Past(trial.name), row)
    return scheduler
