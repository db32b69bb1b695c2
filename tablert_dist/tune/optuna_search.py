"""Ray's OptunaSearch, its suggestions numbered and put on record before they are tried."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from ray.tune.search.optuna import OptunaSearch

from tablert_dist.tune.space import Space
from tablert_dist.tune.trials import METRIC, Point


class RecordedOptuna(OptunaSearch):  # type: ignore[misc]
    """Suggests the points on record that have not ended, then new ones, which `keep` gets before they are tried.

    `item` makes what a trial is given of an index and a point. The value of a trial is that of its best epoch.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        points: Sequence[Point],
        ended: Mapping[int, float],
        keep: Callable[[list[Point]], None],
        item: Callable[[int, Point], dict[str, Any]],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # Another seed after each restart: the sampler's own sequence would begin with the points that there are.
        super().__init__(_distributions(space), metric=METRIC, mode="max", seed=seed + 1000 * len(points))
        self._grid, self._keep, self._item = frozenset(space.grid), keep, item
        self._points = list(points)
        self._waiting = [i for i in range(len(points)) if i not in ended]
        self._best: dict[str, float] = {}
        for index, value in ended.items():
            self.add_evaluated_point(self._encode(points[index]), value)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """As `Searcher.suggest`."""
        known = bool(self._waiting)
        index = self._waiting.pop(0) if known else len(self._points)
        if known:
            self._ot_study.enqueue_trial(self._encode(self._points[index]))
        drawn = super().suggest(trial_id)
        if not known:
            self._points.append(
                {key: json.loads(value) if key in self._grid else value for key, value in drawn.items()}
            )
            self._keep(self._points)
        return self._item(index, self._points[index])

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """As `Searcher.on_trial_result`."""
        self._best[trial_id] = max(self._best.get(trial_id, 0.0), result[METRIC])
        super().on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """As `Searcher.on_trial_complete`."""
        if result and METRIC in result:
            result = {**result, METRIC: max(self._best.get(trial_id, 0.0), result[METRIC])}
        super().on_trial_complete(trial_id, result, error)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: what a restart goes on from is our own record."""

    def _encode(self, point: Point) -> dict[str, Any]:
        return {key: json.dumps(value) if key in self._grid else value for key, value in point.items()}


def _distributions(space: Space) -> dict[str, Any]:
    """Listed values go as JSON: Optuna takes no lists."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {
        key: CategoricalDistribution([json.dumps(value) for value in values]) for key, values in space.grid.items()
    }
    for key, limits in space.ranges.items():
        if limits.whole:
            found[key] = IntDistribution(int(limits.low), int(limits.high), log=limits.log, step=limits.step)
        else:
            found[key] = FloatDistribution(limits.low, limits.high, log=limits.log)
    return found
