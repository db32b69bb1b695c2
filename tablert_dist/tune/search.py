"""The search: a Tune trial for each point of a space, each trial a Ray Train run in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tablert_dist.checkpoint import read_card
from tablert_dist.cluster import Shape, connect, room_for, shape_of
from tablert_dist.config import Config, with_overrides
from tablert_dist.data import Corpus
from tablert_dist.errors import InputError, RunError
from tablert_dist.tracking import begin_run
from tablert_dist.train import runs
from tablert_dist.train.fit import absolute_data, check, open_tracker, provenance, tracking_args
from tablert_dist.train.session import Job, read_result
from tune_spaces import Space

METRIC = "dev/re_plus_f1"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """One point of the space and how far it came. `history` has a row of metrics for each epoch."""

    name: str
    point: Mapping[str, Any]
    folder: Path
    history: Sequence[Mapping[str, float]]
    finished: bool

    @property
    def best_epoch(self) -> int:
        """The epoch of its best dev RE+."""
        return runs.best_epoch(self.history)

    def best(self, metric: str) -> float:
        """A metric at the best epoch."""
        return self.history[self.best_epoch - 1][metric]

    @property
    def checkpoint(self) -> Path:
        """Its best epoch's checkpoint."""
        return self.folder / runs.checkpoint_name(self.best_epoch)


@dataclass(frozen=True)
class SearchResult:
    """A finished search: the trials in the order of the space, the best one, and the parent run in MLflow."""

    name: str
    folder: Path
    trials: Sequence[Trial]
    best: Trial
    config: Config
    """The configuration of the best trial."""
    uid: str | None


def search(
    config: Config, space: Space, name: str, resume: bool, say: Say, callback: Callable[[int], Any] | None = None
) -> tuple[SearchResult, Corpus, Shape]:
    """Run every point of `space`, as many at once as fit, and find the one with the best dev RE+ of any epoch.

    `callback(points)` makes a Tune callback that shows progress. Raises InputError, before anything is written, where
    the configuration, the data, the encoder or the cluster do not allow the search.
    """
    if config.train.select != "best_dev" or config.data.train_on != "train":
        raise InputError("a search scores trials on dev: data.train_on must be train and train.select best_dev")
    config = runs.with_storage(absolute_data(config))
    points = space.points()[: config.tune.max_trials]
    corpus = check(config, say)
    if "dev" not in corpus.splits:
        raise InputError(f"{corpus.name} has no *dev.json: a search has nothing to score its trials on")
    ray = connect(config, show_workers=False)
    resources = ray.cluster_resources()
    shape = shape_of(config, resources, trials=True)
    room = room_for(shape, resources, config.cluster.max_workers)
    at_once = min(room, config.tune.max_concurrent or room, len(points))
    folder, record = runs.open_run(config, name, resume, "tune")
    if resume and record.get("points") != points:
        raise InputError(f"--resume {name}: the space differs from the one that it was started with")
    runs.write_json(folder / runs.RECORD, {**record, "points": points, "space": space.name})
    say(f"run {name} in {folder}: {len(points)} trials, {at_once} at once, each {shape}")
    tracking = tracking_args(config, name, None)
    parent = None
    if tracking:
        parent = begin_run(
            folder,
            uri=tracking.uri,
            experiment=tracking.experiment,
            name=name,
            params={"space": space.name, "trials": len(points)},
            tags={"data.name": corpus.name, "data.hash": corpus.hash, **provenance()},
        )
    uid = parent.uid if parent else None
    _run_trials(config, points, folder, shape, at_once, resume, uid, corpus, callback)
    trials = [_read_trial(folder, i, point) for i, point in enumerate(points)]
    _close_trials(config, trials, uid, corpus)
    scored = [t for t in trials if t.history]
    if not scored:
        raise RunError(f"no trial came to the end of an epoch; see the logs under {folder}")
    best = max(scored, key=lambda t: (t.best(METRIC), t.best("dev/ner_f1")))
    if parent:
        parent.params({f"best.{key}": value for key, value in best.point.items()})
        parent.metrics({f"best/{m.split('/')[1]}": best.best(m) for m in (METRIC, "dev/re_f1", "dev/ner_f1")}, 0)
        parent.close(None, timeout=5.0)
    return SearchResult(name, folder, trials, best, with_overrides(config, best.point), uid), corpus, shape


def trial_name(index: int) -> str:
    """`trial-03`: the point's place in the space, the same after a restore."""
    return f"trial-{index:02d}"


def _run_trials(
    config: Config,
    points: Sequence[Mapping[str, Any]],
    folder: Path,
    shape: Shape,
    at_once: int,
    resume: bool,
    uid: str | None,
    corpus: Corpus,
    callback: Callable[[int], Any] | None,
) -> None:
    from ray import tune

    run = partial(
        _trial,
        base=config.model_dump(mode="json"),
        folder=str(folder),
        shape=shape,
        parent=uid,
        corpus=(corpus.name, corpus.hash),
    )
    # The driver only waits for its workers: with a CPU of its own, as many drivers as CPUs would starve them all.
    # Ray refuses a bundle of nothing, hence the byte of memory.
    trainable = tune.with_resources(run, {"CPU": 0, "memory": 1e6})
    run_config = tune.RunConfig(
        name="ray_tune", storage_path=str(folder), verbose=0, callbacks=[callback(len(points))] if callback else []
    )
    path = folder / "ray_tune"
    if resume and tune.Tuner.can_restore(str(path)):
        tuner = tune.Tuner.restore(str(path), trainable=trainable, resume_unfinished=True, restart_errored=True)
    else:
        tuner = tune.Tuner(
            trainable,
            param_space={
                "trial": tune.grid_search([json.dumps({"index": i, "point": point}) for i, point in enumerate(points)])
            },
            tune_config=tune.TuneConfig(
                metric=METRIC, mode="max", max_concurrent_trials=at_once, scheduler=_scheduler(config)
            ),
            run_config=run_config,
        )
    errors = [result.error for result in tuner.fit() if result.error]
    if len(errors) == len(points):
        raise RunError(f"every trial failed; the first: {str(errors[0]).strip().splitlines()[-1]}")


def _scheduler(config: Config) -> Any:
    if config.tune.scheduler == "none":
        return None
    from ray.tune.schedulers import ASHAScheduler

    # Our own epoch and not training_iteration, which starts again at 1 after a restore.
    return ASHAScheduler(
        time_attr="epoch",
        max_t=config.train.epochs,
        grace_period=min(config.tune.grace_epochs, config.train.epochs),
        reduction_factor=config.tune.reduction_factor,
    )


def _trial(
    params: dict[str, Any], base: dict[str, Any], folder: str, shape: Shape, parent: str | None, corpus: tuple[str, str]
) -> None:
    """One trial, in an actor of its own: train the point under Ray Train, passing every epoch's metrics to Tune."""
    from ray.tune.integration.ray_train import TuneReportCallback

    from tablert_dist.train.ray_train import run_under_ray

    item = json.loads(params["trial"])
    config = with_overrides(Config.model_validate(base, strict=False), item["point"])
    job = _job(config, Path(folder), item["index"])
    tracking = tracking_args(config, job.folder.name, parent)
    if read_result(job.folder) is None:
        if tracking:
            open_tracker(job, tracking, *corpus).close(None, timeout=0.5)
        run_under_ray(job, shape, tracking, [TuneReportCallback()], show=False)


def _job(config: Config, folder: Path, index: int) -> Job:
    # Test is for the winner alone.
    return Job(config, folder / trial_name(index), config.train.seeds[0], score_test=False)


def _read_trial(folder: Path, index: int, point: Mapping[str, Any]) -> Trial:
    place = folder / trial_name(index)
    saved = runs.checkpoints(place)
    history = read_card(saved[-1]).notes["history"] if saved else []
    return Trial(place.name, point, place, history, read_result(place) is not None)


def _close_trials(config: Config, trials: Sequence[Trial], uid: str | None, corpus: Corpus) -> None:
    for index, trial in enumerate(trials):
        tracking = tracking_args(config, trial.name, uid)
        if tracking:
            job = _job(with_overrides(config, trial.point), trial.folder.parent, index)
            tracker = open_tracker(job, tracking, corpus.name, corpus.hash)
            if trial.history and not trial.finished:
                tracker.tags({"stopped_by": "scheduler"})
            tracker.close("FINISHED" if trial.finished else "KILLED", timeout=10.0)
