"""One stage of a search as a Tune experiment; what a restart goes on from is our own record, not Tune's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tablert_dist.cluster import ScalingPlan
from tablert_dist.data import Corpus
from tablert_dist.errors import RunError, Stopped
from tablert_dist.train.stopping import NEVER, Stop, attended
from tablert_dist.tune.ray_cleanup import swept
from tablert_dist.tune.schedulers import make_scheduler
from tablert_dist.tune.space import Space
from tablert_dist.tune.trainable import drive, item
from tablert_dist.tune.trials import Point, SearchStage, Trial

Points = Mapping[int, Point]


@dataclass(frozen=True)
class StageContext:
    """What the trials of every stage share. `room`: trainings that fit at once."""

    scaling: ScalingPlan
    room: int
    corpus: Corpus
    show: Callable[[int, int], Any] | None = None
    """From the number of trials, and of those that have ended already, to a Tune callback that shows progress."""
    stop: Stop = NEVER


@dataclass(frozen=True)
class PointSource:
    """How a search whose points are not known beforehand comes to more of them."""

    space: Space
    total: int
    keep: Callable[[Sequence[Point]], None]
    """Puts all points on record, in the order of their trials."""


def run_stage(stage: SearchStage, points: Points, source: PointSource | None, context: StageContext) -> int:
    """Run what has not ended yet: of `points` and, where there is `source`, of the points that Optuna adds.

    Returns the number of trials that failed. Raises RunError where every trial fails, Stopped where `context.stop` asked for
    the end and the trials have saved.
    """
    import ray
    from ray import tune

    from tablert_dist.tune.recorder import Recorder

    known = [stage.read(index, point) for index, point in points.items()]
    ended = [trial for trial in known if trial.ended]
    total = source.total if source else len(points)
    left = total - len(ended)
    if left <= 0:
        return 0
    run = partial(
        drive,
        stage=stage,
        scaling=context.scaling,
        corpus=ray.put(context.corpus),
        histories={trial.index: trial.history for trial in known if trial.history and not trial.ended},
    )
    # The driver only waits for its workers: with a CPU of its own, as many drivers as CPUs would starve them all.
    # Ray refuses an empty bundle, hence the memory (Ray 2.60; ray#15338 allows 0 CPUs only beside something else).
    trainable = tune.with_resources(run, {"CPU": 0, "memory": 1e6})
    search: dict[str, Any] = {}
    space: dict[str, Any] = {}
    if source:
        search = {"search_alg": _optuna(stage, points, source, ended), "num_samples": left}
    else:
        items = [item(trial.name, trial.index, trial.point)["trial"] for trial in known if not trial.ended]
        space = {"trial": tune.grid_search(items)}
    most = stage.config.tune.max_concurrent or context.room
    recorder = Recorder(stage, context.corpus)
    flag = stage.flag
    flag.put("no")
    tuner = tune.Tuner(
        trainable,
        param_space=space,
        tune_config=tune.TuneConfig(
            max_concurrent_trials=min(context.room, most, left),
            scheduler=make_scheduler(stage.config, ended),
            **search,
        ),
        run_config=tune.RunConfig(
            name="ray_tune",
            **stage.folder.ray_storage(),
            verbose=0,
            callbacks=[recorder, *([context.show(total, len(ended))] if context.show else [])],
        ),
    )
    found: list[Any] = []
    try:
        with swept():
            if context.stop is NEVER:
                found.append(tuner.fit())
            else:
                attended(lambda: found.append(tuner.fit()), context.stop, flag, recorder.saved)
    except Stopped:
        recorder.killed()
        raise
    finally:
        recorder.close(wait=not context.stop.asked)
    flag.remove()
    (results,) = found
    errors = [result.error for result in results if result.error]
    if len(errors) == left:
        raise RunError(f"every trial failed; the first: {str(errors[0]).strip().splitlines()[-1]}")
    return len(errors)


def _optuna(stage: SearchStage, points: Points, source: PointSource, ended: Sequence[Trial]) -> Any:
    from tablert_dist.tune.optuna_search import RecordedOptuna
    from tablert_dist.tune.trials import METRIC

    return RecordedOptuna(
        source.space,
        stage.config.train.seeds[0],
        [points[index] for index in range(len(points))],
        {trial.index: trial.best(METRIC) for trial in ended},
        source.keep,
        lambda index, point: item(stage.name(index), index, point),
    )
