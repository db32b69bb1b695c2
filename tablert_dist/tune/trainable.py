"""What runs in a trial's own actor: the point trained under Ray Train, every epoch's metrics passed to Tune.

Imports no torch: the actor only waits for its workers, and a trial's start waits for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tablert_dist.cluster import Shape
from tablert_dist.config import Config, with_overrides
from tablert_dist.runs.job import Job
from tablert_dist.storage.remote import Remote
from tablert_dist.train.launch import TrackingArgs, run_under_ray


def trial_name(index: int) -> str:
    """`trial-03`: its point's place on record, the same after a restart."""
    return f"trial-{index:02d}"


def job_of(
    config: Config,
    folder: Path,
    remote: Remote | None,
    index: int,
    point: Mapping[str, Any],
    score_test: bool = False,
) -> Job:
    """What a trial trains, in `folder` and, where that has a copy, in `remote`. In a search test is for the winner alone."""
    config = with_overrides(config, point)
    copy = remote / trial_name(index) if remote else None
    return Job(config, folder / trial_name(index), config.train.seeds[0], score_test=score_test, remote=copy)


def item(name: str, index: int, point: Mapping[str, Any]) -> dict[str, str]:
    """A trial's configuration in Tune: one text, so that Tune resolves nothing in it."""
    return {"trial": json.dumps({"name": name, "index": index, "point": dict(point)})}


def read_item(config: Mapping[str, Any]) -> dict[str, Any]:
    """`name`, `index` and `point` of what `item` made."""
    return dict(json.loads(config["trial"]))


def drive(
    params: dict[str, Any],
    config: dict[str, Any],
    folder: str,
    remote: str | None,
    shape: Shape,
    tracking: TrackingArgs | None,
    corpus: Any,
    histories: Mapping[int, Sequence[Mapping[str, float]]],
    score_test: bool = False,
) -> None:
    """Train one trial of the stage in `folder`, copied to the URL `remote`; `corpus` is an object reference.

    `histories` has the epochs of trials that are gone on with: the scheduler hears of them first, marked as `repeated`.
    """
    from ray import tune
    from ray.tune.integration.ray_train import TuneReportCallback

    trial = read_item(params)
    for row in histories.get(trial["index"], ()):
        tune.report({**row, "repeated": 1.0})
    base = Config.model_validate(config, strict=False)
    place = Remote(remote) if remote else None
    job = job_of(base, Path(folder), place, trial["index"], trial["point"], score_test)
    if tracking:
        tracking = replace(tracking, name=trial["name"])
    run_under_ray(job, shape, tracking, [TuneReportCallback()], show=False, corpus=corpus)
