"""What runs in a trial's own actor: the point trained under Ray Train, every epoch's metrics passed to Tune.

Must not import torch: the actor only waits for its workers, and the import would delay a trial's start by seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from tablert_dist.cluster import ScalingPlan
from tablert_dist.errors import Stopped
from tablert_dist.train.launch import run_under_ray
from tablert_dist.tune.trials import SearchStage


def item(name: str, index: int, point: Mapping[str, Any]) -> dict[str, str]:
    """A trial's configuration in Tune: one text, so that Tune resolves nothing in it."""
    return {"trial": json.dumps({"name": name, "index": index, "point": dict(point)})}


def read_item(config: Mapping[str, Any]) -> dict[str, Any]:
    """`name`, `index` and `point` of what `item` made."""
    return dict(json.loads(config["trial"]))


def drive(
    params: dict[str, Any],
    stage: SearchStage,
    scaling: ScalingPlan,
    corpus: Any,
    histories: Mapping[int, Sequence[Mapping[str, float]]],
) -> None:
    """Train one trial of the stage; `corpus` is an object reference.

    `histories` has the epochs of trials that are gone on with: the scheduler hears of them first, marked as `repeated`.
    """
    from ray import tune
    from ray.tune.integration.ray_train import TuneReportCallback

    trial = read_item(params)
    for row in histories.get(trial["index"], ()):
        tune.report({**row, "repeated": 1.0})
    if stage.flag.word() != "no":
        return
    job = stage.job(trial["index"], trial["point"])
    with suppress(Stopped):  # its workers have saved, and the search says so
        run_under_ray(job, scaling, [TuneReportCallback()], show=False, corpus=corpus)
