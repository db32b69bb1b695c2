"""The trials of a search as their folders hold them: the point, the epochs, and how each ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tablert_dist.config import Config
from tablert_dist.data import Corpus
from tablert_dist.runs import store as runs
from tablert_dist.runs.files import META, STOPPED, saved_in
from tablert_dist.runs.job import Job, read_result
from tablert_dist.scoring import best_epoch
from tablert_dist.storage.atomic import write_json
from tablert_dist.storage.checkpoint_folder import checkpoint_name
from tablert_dist.storage.mirror import SMALL, Mirror
from tablert_dist.storage.remote import Remote
from tablert_dist.tracking import NullTracker, Tracker
from tablert_dist.train.fit import open_tracker, tracking_args
from tablert_dist.tune.trainable import job_of, trial_name

METRIC = "dev/re_plus_f1"
Point = Mapping[str, Any]


@dataclass(frozen=True)
class Trial:
    """One point and how far it came. `history` has a row of metrics for each epoch."""

    name: str
    index: int
    point: Point
    folder: Path
    history: Sequence[Mapping[str, float]]
    finished: bool
    stopped: bool
    """By the scheduler."""

    @property
    def ended(self) -> bool:
        """Whether there is nothing left of it to run."""
        return bool(self.history) and (self.finished or self.stopped)

    @property
    def best_epoch(self) -> int:
        """The epoch of its best dev RE+. A search always scores dev."""
        best = best_epoch(self.history)
        assert best is not None
        return best

    def best(self, metric: str) -> float:
        """A metric at the best epoch."""
        return self.history[self.best_epoch - 1][metric]

    @property
    def checkpoint(self) -> Path:
        """Its best epoch's checkpoint."""
        return self.folder / checkpoint_name(self.best_epoch)


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Those with a complete epoch, best dev RE+ first; of equals the better NER, of equals the earlier."""
    scored = [t for t in trials if t.history]
    return sorted(scored, key=lambda t: (-t.best(METRIC), -t.best("dev/ner_f1"), t.index))


@dataclass(frozen=True)
class Stage:
    """One Tune experiment of a search: the folder of its trials, and what they train with before their point's changes."""

    config: Config
    root: Path
    """The search's folder."""
    number: int | None = None
    """1 or 2 in a search of two stages."""
    score_test: bool = False
    """Whether its trials are scored on test: in a study, where none is chosen by it."""

    @property
    def folder(self) -> Path:
        """Where its trials lie."""
        return self.root / f"stage-{self.number}" if self.number else self.root

    @property
    def remote(self) -> Remote | None:
        """The folder's copy at a URL, where runs are kept at one."""
        remote = runs.remote_root(self.config)
        if remote is None:
            return None
        return remote / self.root.name / self.folder.name if self.number else remote / self.root.name

    def name(self, index: int) -> str:
        """A trial's name in the search: `trial-03`, or `stage-1/trial-03`."""
        return f"stage-{self.number}/{trial_name(index)}" if self.number else trial_name(index)

    def job(self, index: int, point: Point) -> Job:
        """What a trial trains."""
        return job_of(self.config, self.folder, self.remote, index, point, self.score_test)

    def read(self, index: int, point: Point) -> Trial:
        """A trial as its folder, or its copy at a URL, has it."""
        job = self.job(index, point)
        if job.remote:
            names = [f for f in job.remote.files() if f in {*SMALL, STOPPED} or f.endswith(f"/{META}")]
            Mirror(job.folder, job.remote).pull_files(names)
        saved = saved_in(job.folder)
        history = saved[1] if saved else []
        result = read_result(job.folder)
        stopped = result is None and (job.folder / STOPPED).is_file()
        return Trial(self.name(index), index, point, job.folder, history, result is not None, stopped)

    @property
    def sends(self) -> bool:
        """Whether the search sends its trials' journals to MLflow: where it sees their folders, this spares each trial's
        worker seconds of imports. At a URL it sees copies only."""
        return self.remote is None

    def begin(self, index: int, point: Point, parent: str | None, corpus: Corpus) -> Tracker:
        """Begin the trial's journal; its worker goes on with it."""
        job = self.job(index, point)
        tracking = tracking_args(job.config, self.name(index), parent)
        if tracking is None:
            return NullTracker()
        mirror = Mirror(job.folder, job.remote) if job.remote else None
        if mirror:
            mirror.pull_files()
        tracker = open_tracker(job, replace(tracking, sends=self.sends), corpus.name, corpus.hash)
        if self.number:
            tracker.tags({"stage": self.number})
        if mirror:
            mirror.push_files()
        return tracker

    def stop(self, index: int, point: Point, epoch: int) -> None:
        """Put on record that the scheduler stopped the trial after `epoch`."""
        job = self.job(index, point)
        job.folder.mkdir(parents=True, exist_ok=True)
        write_json(job.folder / STOPPED, {"epoch": epoch, "scheduler": self.config.tune.scheduler})
        if job.remote:
            Mirror(job.folder, job.remote).push_files([STOPPED])

    def close(self, trial: Trial, parent: str | None, corpus: Corpus) -> None:
        """Say in MLflow how the trial ended."""
        tracking = tracking_args(self.config, trial.name, parent)
        if tracking is None:
            return
        tracker = open_tracker(self.job(trial.index, trial.point), tracking, corpus.name, corpus.hash)
        tags = {"stage": self.number} if self.number else {}
        tracker.tags(tags | ({"stopped_by": "scheduler"} if trial.stopped else {}))
        tracker.close("FINISHED" if trial.finished else "KILLED", timeout=10.0)
        if self.remote:
            Mirror(trial.folder, self.remote / trial.folder.name).push_files()
