"""The trials of a search as their folders hold them: the point, the epochs, and how each ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tablert_dist.config import Config, with_overrides
from tablert_dist.runs.files import STOPPED, saved_in
from tablert_dist.runs.flag import StopFlag
from tablert_dist.runs.folder import RunFolder, Tracked
from tablert_dist.runs.job import Job, read_result
from tablert_dist.scoring import best_epoch
from tablert_dist.storage.checkpoint_folder import checkpoint_name
from tablert_dist.storage.mirror import SMALL
from tablert_dist.tracking import Tracker
from tablert_dist.train.tracked import open_tracker

if TYPE_CHECKING:
    from tablert_dist.data import Corpus

METRIC = "dev/re_plus_f1"
Point = Mapping[str, Any]


@dataclass(frozen=True)
class Trial:
    """One point and how far it came. `history` has a row of metrics for each epoch."""

    name: str
    index: int
    point: Point
    folder: RunFolder
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
        return self.folder.path / checkpoint_name(self.best_epoch)


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Trials with a complete epoch, best dev RE+ first. Ties are broken by NER F1, then by the earlier trial."""
    scored = [t for t in trials if t.history]
    return sorted(scored, key=lambda t: (-t.best(METRIC), -t.best("dev/ner_f1"), t.index))


def trial_name(index: int) -> str:
    """`trial-03`: its point's place on record, the same after a restart."""
    return f"trial-{index:02d}"


@dataclass(frozen=True)
class SearchStage:
    """One Tune experiment of a search: the folder of its trials, and what they train with before their point's changes."""

    config: Config
    root: RunFolder
    """The search's folder."""
    number: int | None = None
    """1 or 2 in a search of two stages."""
    score_test: bool = False
    """Whether its trials are scored on test: in a study, where none is chosen by it."""
    parent: str | None = None
    """The search's run in MLflow."""

    @property
    def folder(self) -> RunFolder:
        """Where its trials lie."""
        return self.root.child(f"stage-{self.number}") if self.number else self.root

    @property
    def flag(self) -> StopFlag:
        """What asks the workers of its trials to end."""
        return StopFlag(self.root)

    def name(self, index: int) -> str:
        """A trial's name in the search: `trial-03`, or `stage-1/trial-03`."""
        return f"stage-{self.number}/{trial_name(index)}" if self.number else trial_name(index)

    def job(self, index: int, point: Point) -> Job:
        """What a trial trains. In a search test is for the winner alone.

        Where the search sees the trials' folders it sends their journals, which spares each worker seconds of imports; at a
        URL it sees copies only, and the workers send.
        """
        config = with_overrides(self.config, point)
        tracked = Tracked(self.name(index), self.parent, sends=not self.root.shared)
        folder = self.folder.child(trial_name(index))
        return Job(
            config, folder, config.train.seeds[0], score_test=self.score_test, tracked=tracked, stop_in=self.root
        )

    def read(self, index: int, point: Point) -> Trial:
        """A trial as its folder, or its copy at a URL, has it."""
        folder = self.job(index, point).folder
        folder.mirror.pull_cards({*SMALL, STOPPED})
        saved = saved_in(folder.path)
        history = saved[1] if saved else []
        result = read_result(folder.path)
        stopped = result is None and (folder.path / STOPPED).is_file()
        return Trial(self.name(index), index, point, folder, history, result is not None, stopped)

    def begin(self, index: int, point: Point, corpus: Corpus) -> Tracker:
        """Begin the trial's journal; its worker continues it."""
        job = self._sending(index, point, self.root.shared)
        job.folder.journal_mirror.pull_files()
        tracker = open_tracker(job, corpus)
        if self.number:
            tracker.tags({"stage": self.number})
        job.folder.journal_mirror.push_files()
        return tracker

    def stop(self, index: int, point: Point, epoch: int) -> None:
        """Put on record that the scheduler stopped the trial after `epoch`."""
        folder = self.job(index, point).folder
        folder.write(STOPPED, {"epoch": epoch, "scheduler": self.config.tune.scheduler})

    def close(self, trial: Trial, corpus: Corpus, timeout: float = 10.0) -> None:
        """Say in MLflow how the trial ended, sent for at most `timeout` seconds."""
        tracker = open_tracker(self._sending(trial.index, trial.point, True), corpus)
        tags = {"stage": self.number} if self.number else {}
        tracker.tags(tags | ({"stopped_by": "scheduler"} if trial.stopped else {}))
        tracker.close("FINISHED" if trial.finished else "KILLED", timeout)
        trial.folder.journal_mirror.push_files()

    def _sending(self, index: int, point: Point, sends: bool) -> Job:
        """The trial with `sends` as this process has it: it may send what the worker does not, and the reverse."""
        job = self.job(index, point)
        return replace(job, tracked=replace(job.tracked, sends=sends))
