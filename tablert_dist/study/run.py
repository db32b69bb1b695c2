"""Running a study's cells, under Ray Tune or in this process; a cell that has its result is not run again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tablert_dist.cluster import capacity, connect, refuse_early, room_for, scaling_plan
from tablert_dist.config import Config, current_keys
from tablert_dist.data import Corpus
from tablert_dist.errors import InputError, Stopped, counted
from tablert_dist.runs.data import files_of
from tablert_dist.runs.folder import RunFolder, Tracked
from tablert_dist.runs.job import read_result
from tablert_dist.runs.location import runs_folder, with_storage
from tablert_dist.runs.store import RunStore
from tablert_dist.study.cells import Cell, points
from tablert_dist.study.predictions import keep_predictions
from tablert_dist.tracking import STOPPED_S, Tracker
from tablert_dist.train.fit import train_here
from tablert_dist.train.stopping import NEVER, Stop
from tablert_dist.train.tracked import provenance
from tablert_dist.tune.experiment import StageContext, run_stage
from tablert_dist.tune.progress import progress_callback
from tablert_dist.tune.trials import Point, SearchStage

Say = Callable[[str], None]


@dataclass(frozen=True)
class StudyPart:
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
    parts: Sequence[StudyPart],
    name: str,
    resume: bool,
    epochs: int | None,
    say: Say,
    keep_weights: bool = False,
    options: Sequence[str] = (),
    stop: Stop = NEVER,
    accept_changed: bool = False,
    finished: bool = False,
) -> tuple[Path, list[Done], Tracker]:
    """Train every cell of every part that has no result yet: its folder, all results, and the study's run in MLflow.

    With `finished` none is trained: the results are those that there are, of settings that have all their seeds.

    `options` are the study's own on the command line, for the command that resumes it. Each cell keeps its
    predictions; its weights only with `keep_weights`. Raises InputError, before anything is written, where the
    configuration, the data or the cluster do not allow it, and where `resume` names another study than this.
    """
    config = with_storage(config)
    if not runs_folder(config).shared:
        raise InputError("a study keeps its runs in a folder: give train.storage as one that every node sees")
    plan = {part.name: [json.loads(json.dumps(p)) for p in points(part.cells, part.config, epochs)] for part in parts}
    if config.cluster.num_workers:
        refuse_early(config, trials=True)
    data = {split: file for part in parts for split, file in files_of(part.corpus, f"{part.name}/").items()}
    run = RunStore.open(config, name, resume, "study", data, accept_changed)
    with run:
        known = {
            part: [current_keys(point, "the run's record") for point in of_part]
            for part, of_part in run.record.get("plan", {}).items()
        }
        if resume and known != plan:
            raise InputError(f"--resume {name}: its cells are others; give the same systems, layers, seeds and epochs")
        run.update(plan=plan, options=list(options))
        total = sum(len(part.cells) for part in parts)
        say(f"run {name} in {run.folder}: {counted(total, 'cell')}")
        params = {"cells": total, "model.encoder": config.model.encoder}
        parent = run.folder.tracker(Tracked(name), params, {"study": name, **provenance("tablert_dist.study")})
        try:
            done = []
            for part in parts:
                stored = replace(part, config=_stored(part.config, config))
                found = _run_part(stored, run.folder, plan[part.name], parent.uid, say, stop, finished)
                for one in found:
                    keep_predictions(one.folder, one.result, part.corpus, keep_weights)
                done += found
        except BaseException as error:
            asked = isinstance(error, Stopped | KeyboardInterrupt)
            parent.close("KILLED" if asked else "FAILED", STOPPED_S if asked else 10.0)
            raise
        run.update(status="finished" if len(done) == total else "stopped")
    return run.path, done, parent


def _stored(config: Config, study: Config) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update={"storage": study.train.storage})})


def _run_part(
    part: StudyPart, folder: RunFolder, plan: Sequence[Point], parent: str | None, say: Say, stop: Stop, finished: bool
) -> list[Done]:
    stage = SearchStage(part.config, folder.child(part.name), score_test=True, parent=parent)
    jobs = [stage.job(index, point) for index, point in enumerate(plan)]
    missing = {index: point for index, point in enumerate(plan) if read_result(jobs[index].folder.path) is None}
    if missing and not finished:
        say(f"{part.name}: {len(missing)} of {counted(len(plan), 'cell')} to run")
        if part.config.cluster.num_workers:
            _under_ray(stage, missing, part.corpus, stop)
        else:
            for index in missing:
                say(f"{part.name}: {part.cells[index].title()}")
                tracked = Tracked(f"{stage.folder.name}/{stage.name(index)}", parent)
                train_here(replace(jobs[index], tracked=tracked), part.corpus, stop)
        stage.folder.drop_features()
    done = []
    for cell, job in zip(part.cells, jobs, strict=True):
        result = read_result(job.folder.path)
        if result is None:
            if finished:
                continue
            raise InputError(
                f"{part.name}: {cell.title()} has no result: it failed or was interrupted; go on with --resume"
            )
        done.append(Done(part.name, cell, job.folder.path, result))
    return _with_all_seeds(done, part, say)


def _with_all_seeds(done: Sequence[Done], part: StudyPart, say: Say) -> list[Done]:
    """Those of settings that have every seed: means over different seeds do not compare. The others are said."""
    there = Counter(one.cell.setting() for one in done)
    asked = Counter(cell.setting() for cell in part.cells)
    for setting, seeds in asked.items():
        if there[setting] < seeds:
            say(f"{part.name}: {setting}: {there[setting]} of {counted(seeds, 'seed')}, not on the page")
    return [one for one in done if there[one.cell.setting()] == asked[one.cell.setting()]]


def _under_ray(stage: SearchStage, missing: Mapping[int, Point], corpus: Corpus, stop: Stop) -> None:
    ray = connect(stage.config, show_workers=False)
    scaling = scaling_plan(stage.config, ray.cluster_resources(), trials=True)
    room = room_for(scaling, capacity(), stage.config.cluster.max_workers)
    stage.folder.path.mkdir(parents=True, exist_ok=True)
    context = StageContext(scaling, room, corpus, progress_callback(stage.config.train.epochs), stop)
    run_stage(stage, missing, None, context)
