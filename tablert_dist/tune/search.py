"""The search: trials of a space's points, each a Ray Train run in a folder of its own, in one stage or in two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tablert_dist.cluster import ScalingPlan, capacity, connect, refuse_early, room_for, scaling_plan, shared_out
from tablert_dist.config import Config, current_keys, with_overrides
from tablert_dist.data import Corpus
from tablert_dist.errors import InputError, RunError, Stopped, counted
from tablert_dist.runs.data import files_of
from tablert_dist.runs.folder import Tracked
from tablert_dist.runs.location import runs_folder, with_storage
from tablert_dist.runs.store import RunStore
from tablert_dist.scoring import LEVELS, TITLES
from tablert_dist.storage.mirror import JOURNAL
from tablert_dist.tracking import NOTE, STOPPED_S, Tracker
from tablert_dist.train.fit import absolute_data, check
from tablert_dist.train.stopping import NEVER, Stop
from tablert_dist.train.tracked import described, log_data, provenance
from tablert_dist.tune.experiment import Points, PointSource, StageContext, run_stage
from tablert_dist.tune.space import Space
from tablert_dist.tune.trials import METRIC, Point, SearchStage, Trial, ranked

Say = Callable[[str], None]


@dataclass(frozen=True)
class SearchResult:
    """A finished search: the trials in order (of two stages, those of the second), the best one, its run in MLflow."""

    run: RunStore
    trials: Sequence[Trial]
    best: Trial
    config: Config
    """The configuration of the best trial."""
    uid: str | None
    earlier: Sequence[Trial] = ()
    """Of two stages, the trials of the first."""

    @property
    def checkpoint(self) -> Path:
        """The best trial's checkpoint at its best epoch."""
        return self.best.checkpoint

    @property
    def scores(self) -> Mapping[str, Mapping[str, float]]:
        """The best trial's micro F1 in 0–1: `scores["dev"]["re_plus"]`; test is for the exported winner alone."""
        return {"dev": {level: self.best.best(f"dev/{level}_f1") for level in LEVELS}}

    def __repr__(self) -> str:
        shown = "  ".join(f"{TITLES[level]} {100 * f1:.1f}" for level, f1 in self.scores["dev"].items())
        return f"<SearchResult {self.run.name}: {len(self.trials)} trials; best {dict(self.best.point)}; dev {shown}>"


def search(
    config: Config,
    space: Space,
    name: str,
    resume: bool,
    say: Say,
    callback: Callable[[int, int], Any] | None = None,
    validate: bool = True,
    stop: Stop = NEVER,
    accept_changed: bool = False,
) -> tuple[SearchResult, Corpus, ScalingPlan]:
    """Try points of `space`, as many at once as fit, and find the one with the best dev RE+ of any epoch.

    `callback(trials, ended)` makes a Tune callback that shows progress; `validate` looks for mistakes in the data first;
    `accept_changed` goes on, with `resume`, on other data than before. The run of the result is held until it is closed.
    Raises InputError, before anything is written, where the configuration, the data, the encoder or the cluster do not
    allow the search; Stopped where `stop` asks for the end, with what the trials have trained saved.
    """
    config = with_storage(absolute_data(config))
    how, points = plan(config, space)
    # Refuses what RunStore.open would refuse only after the data were read.
    runs_folder(config)
    RunStore.check(config, name, resume, "tune")
    refuse_early(config, trials=True)
    corpus = check(config, say, validate)
    if "dev" not in corpus.splits:
        raise InputError(f"{corpus.name} has no *dev.json: a search has nothing to score its trials on")
    ray = connect(config, show_workers=False)
    scaling = scaling_plan(config, ray.cluster_resources(), trials=True)
    room = room_for(scaling, capacity(), config.cluster.max_workers)
    run = RunStore.open(config, name, resume, "tune", files_of(corpus), accept_changed)
    try:
        if resume and _current(run.record.get("tree", {})) != space.tree():
            raise InputError(f"--resume {name}: the space differs from the one that it was started with")
        run.update(**{"space": space.name, "tree": space.tree(), "search": how, "points": points, **run.record})
        total = len(points) if how != "optuna" else config.tune.trials
        at_once = min(room, config.tune.max_concurrent or room, total)
        stages = ", then the best of them again" if config.tune.stages == 2 else ""
        say(f"run {name} in {run.folder}: {counted(total, 'trial')}{stages}, {at_once} at once, each {scaling}")
        parent = _parent(config, run, space, corpus, total)
        found = _searched(config, space, run, parent, StageContext(scaling, room, corpus, callback, stop))
    except BaseException as error:
        run.ended(error)
        raise
    return found, corpus, scaling


def _searched(config: Config, space: Space, run: RunStore, parent: Tracker, context: StageContext) -> SearchResult:
    """Run the trials and name the best; the search's run in MLflow goes on, or ends as an error has it."""
    try:
        trials, earlier = _run(config, space, run, parent.uid, context)
        scored = ranked(trials)
        if not scored:
            raise RunError(f"no trial came to the end of an epoch; see the logs under {run.path}")
    except BaseException as error:
        asked = isinstance(error, Stopped | KeyboardInterrupt)
        parent.close("KILLED" if asked else "FAILED", STOPPED_S if asked else 10.0)
        run.folder.journal_mirror.push_files(JOURNAL)
        raise
    best = scored[0]
    best.folder.mirror.pull_checkpoint(best.checkpoint.name)
    parent.params({f"best.{key}": value for key, value in best.point.items()})
    # Under the names that the winner's scores get once it is exported.
    parent.metrics({f"best_{m}": best.best(m) for m in (METRIC, "dev/re_f1", "dev/ner_f1")}, 0)
    parent.close(None, timeout=5.0)
    return SearchResult(run, trials, best, with_overrides(config, best.point), parent.uid, earlier)


def _current(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A space on record by the keys of this version."""
    return {k: current_keys(part, "the run's record") if k in {"grid", "range"} else part for k, part in tree.items()}


def plan(config: Config, space: Space) -> tuple[str, list[Point]]:
    """How points are chosen (`grid`, `random` or `optuna`), and those that are known beforehand: with Optuna none.

    Raises InputError where the configuration does not allow a search, or not of this space.
    """
    if config.train.select != "best_dev" or config.data.train_on != "train":
        raise InputError("a search scores trials on dev: data.train_on must be train and train.select best_dev")
    if config.tune.stages == 2 and config.model.frozen:
        raise InputError(
            "--stages 2 searches heads on a frozen encoder, then trains the best of them with it; model.frozen = true "
            "leaves nothing for the second stage: give --set model.frozen=false, or --stages 1"
        )
    if config.tune.stages == 2 and "model.frozen" in space.grid:
        raise InputError(
            f"space {space.name}: model.frozen is what --stages 2 decides; leave it out, or use --stages 1"
        )
    how = config.tune.search
    if how == "auto":
        how = "random" if space.ranges else "grid"
    if how == "grid":
        return how, list(space.points()[: config.tune.max_trials])
    if how == "random":
        return how, list(space.draw(config.tune.trials, config.train.seeds[0]))
    if find_spec("optuna") is None:
        raise InputError(
            "--search optuna: Optuna is not installed; install the extra: pip install 'tablert-dist[optuna]', or "
            "search with --search random"
        )
    return how, []


def _run(
    config: Config, space: Space, run: RunStore, parent: str | None, context: StageContext
) -> tuple[list[Trial], list[Trial]]:
    """The trials of the last stage, and of two stages those of the first."""

    def keep(points: Sequence[Point]) -> None:
        run.update(points=list(points))

    source = PointSource(space, config.tune.trials, keep) if run.record["search"] == "optuna" else None
    if config.tune.stages == 1:
        return _stage(SearchStage(config, run.folder, parent=parent), run.record, source, context), []
    scheduler = config.tune.scheduler if config.tune.scheduler != "none" else "asha"
    frozen = with_overrides(config, {"model.frozen": True, "tune.scheduler": scheduler})
    heads = SearchStage(frozen, run.folder, 1, parent=parent)
    if "finalists" in run.record:
        first = [heads.read(index, point) for index, point in enumerate(run.record["points"])]
    else:
        first = _stage(heads, run.record, source, context)
        chosen = ranked(first)[: config.tune.finalists]
        if not chosen:
            raise RunError(f"no trial of the first stage came to the end of an epoch; see the logs under {run.path}")
        run.update(finalists=sorted(trial.index for trial in chosen))
    heads.folder.drop_features()
    # Each finalist is trained to its end: they are too few to tell early.
    whole = SearchStage(with_overrides(config, {"tune.scheduler": "none"}), run.folder, 2, parent=parent)
    finalists = run.record["finalists"]
    if config.cluster.cpus_per_worker is None:
        scaling = shared_out(context.scaling, min(len(finalists), context.room), capacity())
        context = replace(context, scaling=scaling, room=min(len(finalists), context.room))
    return _stage(whole, run.record, None, context, finalists), first


def _stage(
    stage: SearchStage,
    record: Mapping[str, Any],
    source: PointSource | None,
    context: StageContext,
    only: Sequence[int] | None = None,
) -> list[Trial]:
    """Run the stage on the points on record, or on those of these indices, and read its trials.

    Raises RunError where it was interrupted: Tune takes Ctrl-C as a wish to end early, and returns what there is.
    """

    def chosen() -> Points:
        return {i: point for i, point in enumerate(record["points"]) if only is None or i in only}

    failed = run_stage(stage, chosen(), source, context)
    trials = [stage.read(index, point) for index, point in chosen().items()]
    for trial in trials:
        stage.close(trial, context.corpus)
    ended, total = sum(trial.ended for trial in trials), source.total if source else len(trials)
    if ended + failed < total:
        raise RunError(
            f"the search was interrupted with {ended} of {counted(total, 'trial')} done; go on with it by "
            f"tablert tune --resume {stage.root.name}"
        )
    return trials


def _parent(config: Config, run: RunStore, space: Space, corpus: Corpus, total: int) -> Tracker:
    """The search's own run in MLflow, whose children are the trials."""
    run.folder.journal_mirror.pull_files(JOURNAL)
    params = {"space": space.name, "trials": total}
    note = f"Search of {counted(total, 'point')} of the space {space.name}, each trained in a child run. "
    note += described(config, corpus, config.train.seeds[0])
    tags = {"data.name": corpus.name, "data.hash": corpus.hash, NOTE: note, **provenance("tablert_dist.tune")}
    tracker = run.folder.tracker(Tracked(run.name), params, tags)
    log_data(tracker, corpus)
    run.folder.journal_mirror.push_files(JOURNAL)
    return tracker
