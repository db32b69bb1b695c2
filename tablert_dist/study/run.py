"""Running a study's cells, under Ray Tune or in this process; a cell that has its result is not run again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tablert_dist.cluster import capacity, connect, refuse_early, room_for, shape_of
from tablert_dist.config import Config
from tablert_dist.data import Corpus
from tablert_dist.errors import InputError
from tablert_dist.runs import store as runs
from tablert_dist.runs.job import read_result
from tablert_dist.study.cells import Cell, points
from tablert_dist.study.predictions import keep_predictions
from tablert_dist.tracking import JournalTracker, NullTracker, Tracker, begin_run
from tablert_dist.train.fit import open_tracker, provenance, tracking_args
from tablert_dist.train.ray_train import Printer
from tablert_dist.train.worker import choose_place, run_worker
from tablert_dist.tune.experiment import Means, run_stage
from tablert_dist.tune.progress import progress_callback
from tablert_dist.tune.trials import Point, Stage

Say = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """Cells on one data set, or on one fold of it: a folder in the study's own."""

    name: str
    """`conll04`, `ade/fold-3`."""
    config: Config
    """With `data.path` and the overlap policy of this part."""
    cells: Sequence[Cell]
    corpus: Corpus


@dataclass(frozen=True)
class Done:
    """A finished cell and its `result.json`, whose checkpoint is where it is now."""

    part: str
    cell: Cell
    folder: Path
    result: Mapping[str, Any]

    def f1(self, split: str, level: str, average: str = "micro") -> float | None:
        """F1 in 0–1, or None where the split was not scored."""
        scored = self.result["scores"].get(split)
        return float(scored["scores"][level][average]["f1"]) if scored else None

    @property
    def parameters(self) -> int:
        """Numbers that training changes."""
        return int(self.result["parameters"]["trained"])


def run_study(
    config: Config,
    parts: Sequence[Part],
    name: str,
    resume: bool,
    epochs: int | None,
    say: Say,
    keep_weights: bool = False,
    options: Sequence[str] = (),
) -> tuple[Path, list[Done], JournalTracker | None]:
    """Train every cell of every part that has no result yet: its folder, all results, and the study's run in MLflow.

    `options` are the study's own on the command line, for the command that goes on with it. Each cell keeps its
    predictions; its weights only with `keep_weights`. Raises InputError, before anything is written, where the
    configuration, the data or the cluster do not allow it, and where `resume` names another study than this.
    """
    config = runs.with_storage(config)
    if runs.remote_root(config):
        raise InputError("a study keeps its runs in a folder: give train.storage as one that every node sees")
    plan = {part.name: [json.loads(json.dumps(p)) for p in points(part.cells, part.config, epochs)] for part in parts}
    if config.cluster.num_workers:
        refuse_early(config, trials=True)
    folder, record = runs.open_run(config, name, resume, "study")
    if resume and record.get("plan") != plan:
        raise InputError(f"--resume {name}: its cells are others; give the same systems, layers, seeds and epochs")
    record |= {"plan": plan, "options": list(options)}
    runs.write_record(config, folder, record)
    total = sum(len(part.cells) for part in parts)
    say(f"run {name} in {folder}: {total} cells")
    parent = _parent(config, name, folder, total)
    done = []
    for part in parts:
        stored = replace(part, config=_stored(part.config, config))
        found = _run_part(stored, folder, plan[part.name], parent, say)
        for one in found:
            keep_predictions(one.folder, one.result, part.corpus, keep_weights)
        done += found
    runs.write_record(config, folder, {**record, "status": "finished"})
    return folder, done, parent


def _stored(config: Config, study: Config) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update={"storage": study.train.storage})})


def _run_part(part: Part, folder: Path, plan: Sequence[Point], parent: JournalTracker | None, say: Say) -> list[Done]:
    stage = Stage(part.config, folder / part.name, score_test=True)
    jobs = [stage.job(index, point) for index, point in enumerate(plan)]
    missing = {index: point for index, point in enumerate(plan) if read_result(jobs[index].folder) is None}
    if missing:
        say(f"{part.name}: {len(missing)} of {len(plan)} cells to run")
        uid = parent.uid if parent else None
        if part.config.cluster.num_workers:
            _under_ray(stage, missing, part.corpus, uid)
        else:
            for index in missing:
                say(f"{part.name}: {part.cells[index].title()}")
                _here(stage, index, plan[index], part.corpus, uid)
        runs.drop_features(stage.folder)
    done = []
    for cell, job in zip(part.cells, jobs, strict=True):
        result = read_result(job.folder)
        if result is None:
            raise InputError(
                f"{part.name}: {cell.title()} has no result: it failed or was interrupted; go on with --resume"
            )
        done.append(Done(part.name, cell, job.folder, result))
    return done


def _under_ray(stage: Stage, missing: Mapping[int, Point], corpus: Corpus, parent: str | None) -> None:
    ray = connect(stage.config, show_workers=False)
    shape = shape_of(stage.config, ray.cluster_resources(), trials=True)
    room = room_for(shape, capacity(), stage.config.cluster.max_workers)
    stage.folder.mkdir(parents=True, exist_ok=True)
    means = Means(shape, room, corpus, parent, progress_callback(stage.config.train.epochs))
    run_stage(stage, missing, None, means)


def _here(stage: Stage, index: int, point: Point, corpus: Corpus, parent: str | None) -> None:
    job = stage.job(index, point)
    tracking = tracking_args(job.config, f"{stage.folder.name}/{stage.name(index)}", parent)
    tracker: Tracker = open_tracker(job, tracking, corpus.name, corpus.hash) if tracking else NullTracker()
    with tracker:
        show = Printer(job.config.train.epochs)
        run_worker(job, choose_place(job.config), tracker, show.epoch, show.step, corpus)


def _parent(config: Config, name: str, folder: Path, cells: int) -> JournalTracker | None:
    tracking = tracking_args(config, name, None)
    if tracking is None:
        return None
    return begin_run(
        folder,
        uri=tracking.uri,
        experiment=tracking.experiment,
        name=name,
        params={"cells": cells, "model.encoder": config.model.encoder},
        tags={"study": name, **provenance()},
    )
