"""What a person sees of a search while it runs: a line for each epoch of each trial, and the table at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.table import Table

from tablert_dist.errors import counted
from tablert_dist.train.ray_train import dev_scores
from tablert_dist.tune.trainable import read_item
from tablert_dist.tune.trials import METRIC, Trial

QUIET_S = 5.0
"""Seconds without a line of any trial, after which a line says what is waited for; doubled while nothing comes."""


def describe(point: Mapping[str, Any]) -> str:
    """`kernel_size 3, hidden [512]`."""
    shown = {
        key: f"{v:.3g}" if isinstance(v, float) else list(v) if isinstance(v, tuple) else v for key, v in point.items()
    }
    return ", ".join(f"{key.split('.')[-1]} {value}" for key, value in shown.items())


def progress_callback(epochs: int) -> Any:
    """A factory for `search`: the number of trials, and of those that have ended, to a Tune callback that prints lines."""

    def make(total: int, ended: int) -> Any:
        from ray.tune import Callback

        class Progress(Callback):  # type: ignore[misc]
            def __init__(self) -> None:
                self.done, self.best, self.started = ended, 0.0, time.monotonic()
                self.told, self.pause, self.fresh = self.started, QUIET_S, set[str]()

            def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
                # Starting a worker, and an epoch of a large corpus, take long without a report.
                if time.monotonic() - self.told < self.pause:
                    return
                running = sorted(read_item(trial.config)["name"] for trial in trials if trial.status == "RUNNING")
                starting = [name for name in running if name in self.fresh]
                if running:
                    how = "workers are starting" if starting else "in an epoch"
                    self._say(f"{', '.join(starting or running)}: {how} …", 2 * self.pause)
                elif self.done < total:
                    self._say("the next trial is starting …", 2 * self.pause)

            def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
                item = read_item(trial.config)
                self.fresh.add(item["name"])
                self._say(f"{item['name']} starts: {describe(item['point'])}")

            def on_trial_result(
                self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
            ) -> None:
                # A study that trains on train+dev has no dev scores.
                scored = METRIC in result
                if scored:
                    self.best = max(self.best, result[METRIC])
                item = read_item(trial.config)
                self.fresh.discard(item["name"])
                if "repeated" in result:
                    return
                shown = dev_scores(result) if scored else f"loss/sentence {result['train/loss']:.2f}"
                done = f"{self.done} of {counted(total, 'trial')} done"
                best = f"best RE+ so far {100 * self.best:.1f}, " if scored else ""
                self._say(
                    f"{item['name']} epoch {int(result['epoch'])}/"
                    f"{item['point'].get('train.epochs', epochs)}  {shown}  "
                    f"{result['train/sentences_per_second']:.1f} sentences/s  ({best}{done})"
                )

            def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
                self.done += 1

            def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
                self.done += 1
                self._say(f"{read_item(trial.config)['name']} failed")

            def _say(self, line: str, pause: float = QUIET_S) -> None:
                self.told, self.pause = time.monotonic(), pause
                click.echo(f"{self._clock()} {line}")

            def _clock(self) -> str:
                minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
                return f"[{minutes:02d}:{seconds:02d}]"

        return Progress()

    return make


def trial_table(
    trials: Sequence[Trial], best: Trial | None, title: str = "trials, dev scores at each one's best epoch"
) -> Table:
    """Every trial with the scores of its best epoch on dev, in percent, best first."""
    table = Table(title=title)
    for column in ("trial", "setting", "epochs", "best epoch", "NER", "RE", "RE+"):
        table.add_column(column, justify="left" if column in {"trial", "setting"} else "right")
    for trial in sorted(trials, key=lambda t: -t.best(METRIC) if t.history else 1.0):
        if not trial.history:
            table.add_row(trial.name, describe(trial.point), "0", "–", "–", "–", "failed")
            continue
        scores = [f"{100 * trial.best(m):.1f}" for m in ("dev/ner_f1", "dev/re_f1", METRIC)]
        how = "" if trial.finished else " (stopped)" if trial.stopped else " (failed)"
        epochs = f"{len(trial.history)}{how}"
        style = "bold green" if trial is best else None
        table.add_row(
            trial.name, describe(trial.point).replace("[", "\\["), epochs, str(trial.best_epoch), *scores, style=style
        )
    return table
