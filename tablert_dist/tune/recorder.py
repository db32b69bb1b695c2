"""A Tune callback that begins each trial's journal, sends it to MLflow, and notes where the scheduler stopped a trial."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ray.tune import Callback

from tablert_dist.data import Corpus
from tablert_dist.tracking import STOPPED_S, Tracker
from tablert_dist.tune.trainable import read_item
from tablert_dist.tune.trials import Point, SearchStage

LAST_SENT_S = 30.0
"""How long a trial's last facts are tried to be sent; what is left goes when the stage has ended."""


class Recorder(Callback):  # type: ignore[misc]
    """Of the trials of one stage."""

    def __init__(self, stage: SearchStage, corpus: Corpus) -> None:
        self._stage, self._corpus = stage, corpus
        self._begun: dict[int, Point] = {}
        self._saving: set[int] | None = None
        self._open: dict[int, Tracker] = {}
        # The other trials do not wait for MLflow.
        self._closing = ThreadPoolExecutor(1)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune writes its callbacks to a file, which nobody reads."""
        return {}

    def saved(self) -> bool:
        """Whether the trials that ran when this was asked first have ended: those that start since end by themselves."""
        if self._saving is None:
            self._saving = set(self._open)
        return not self._saving & set(self._open)

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """As `Callback.on_trial_start`."""
        found = read_item(trial.config)
        self._begun[found["index"]] = found["point"]
        self._open[found["index"]] = self._stage.begin(found["index"], found["point"], self._corpus)

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        """As `Callback.on_trial_result`."""
        # Of a result with metrics Tune says so only where the scheduler has decided it.
        if result.get("done"):
            found = read_item(trial.config)
            self._stage.stop(found["index"], found["point"], int(result["epoch"]))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """As `Callback.on_trial_complete`."""
        tracker = self._open.pop(read_item(trial.config)["index"], None)
        if tracker:
            self._closing.submit(tracker.close, None, LAST_SENT_S)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """As `Callback.on_trial_error`."""
        self.on_trial_complete(iteration, trials, trial)

    def killed(self) -> None:
        """Say in MLflow of every trial that has begun how it ended, for a few seconds in all."""
        until = time.monotonic() + STOPPED_S
        for index, point in self._begun.items():
            trial = self._stage.read(index, point)
            self._stage.close(trial, self._corpus, max(0.0, until - time.monotonic()))

    def close(self, wait: bool = True) -> None:
        """Wait for the one that is being sent."""
        self._closing.shutdown(wait=wait, cancel_futures=True)
