"""What the files of a run say of it: how far each seed or trial has come, and when it last gave a sign of life.

Read from any machine that sees the storage, and without torch: nothing is asked of the processes themselves.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tablert_dist.errors import InputError, nearest
from tablert_dist.runs.files import LEASE, RECORD, STOPPED, events_in, modified, read_json, saved_in
from tablert_dist.scoring import LEVELS, best_epoch
from tablert_dist.storage.checkpoint_folder import META
from tablert_dist.storage.lease import Holder, LeaseFile
from tablert_dist.storage.mirror import RESULT
from tablert_dist.tracking.journal import ENDED, Event

SILENCE_S = 600.0
"""Without news for so long (or for three of its epochs, if those are longer) a run is taken to have stopped that nobody holds,
as one of an older version."""

State = Literal["waiting", "running", "stopped", "dead", "finished"]
"""`stopped` ended in order and said so; of a `dead` run the process that held it is gone."""


@dataclass(frozen=True)
class PartStatus:
    """One seed of a training or one trial of a search. F1 on dev in 0–1; epochs count from 1."""

    name: str
    point: Mapping[str, Any] | None
    """A trial's place in the space."""
    state: State
    reason: str | None
    """Why it stopped, where the files say so."""
    epoch: int
    """Complete epochs."""
    dev: Mapping[str, float]
    """Scores of the newest epoch; empty where there is no dev split or no epoch yet."""
    best_epoch: int | None
    best: Mapping[str, float]
    """Scores of the best epoch by RE+ (ties: NER)."""
    checkpoint: str | None
    """What it would be resumed from or, finished, its result."""
    active: float
    """Time of its newest fact, in seconds since 1970."""
    pace: float
    """Seconds of its longest epoch."""


@dataclass(frozen=True)
class RunStatus:
    """A run as its files have it."""

    name: str
    kind: str
    folder: str
    state: State
    silent_s: float
    """Since its newest fact."""
    epochs: int
    """What a part goes up to."""
    parts: Sequence[PartStatus]
    record: Mapping[str, Any]
    """`run.json`."""
    result: Mapping[str, Any] | None
    """A search's `result.json`."""
    holder: Holder | None = None
    """The process that runs it, or ran it when it died; a run of an older version has none."""

    @property
    def best(self) -> PartStatus | None:
        """The part with the best dev RE+."""
        scored = [part for part in self.parts if part.best]
        # Of two stages the second decides, as soon as it has a score.
        last = max((part.name.partition("/")[0] for part in scored if "/" in part.name), default="")
        scored = [part for part in scored if part.name.startswith(last)]
        return max(scored, key=lambda part: part.best["re_plus"], default=None)

    @property
    def checkpoint(self) -> str | None:
        """The run's own result, or the best that there is so far."""
        if self.result:
            return str(self.result["checkpoint"])
        return self.best.checkpoint if self.best else next((p.checkpoint for p in self.parts if p.checkpoint), None)


def read_status(storage: Path, name: str, now: float | None = None, where: str | None = None) -> RunStatus:
    """The run `name` in the folder `storage`; `where` is what is shown as its place, a URL whose copy the folder is.

    Raises InputError with the names there are, or for an unreadable record.
    """
    folder, where = storage / name, where or str(storage)
    names = run_names(storage)
    if name not in names:
        there = f"there are: {', '.join(names)}{nearest(name, names)}" if names else "it holds no run"
        raise InputError(f"there is no run '{name}' in {where}; {there}")
    record = read_json(folder / RECORD)
    if record is None or not {"kind", "config"} <= record.keys():
        raise InputError(f"{where}/{name}/{RECORD} is not the record of a run; was it written by this package?")
    search = record["kind"] == "tune"
    several = record["kind"] in {"tune", "study"}
    result = read_json(folder / RESULT) if search else None
    parts = [_read_part(folder / part, f"{where}/{name}/{part}", part, point) for part, point in _expected(record)]
    active = max([modified(folder / RECORD), modified(folder / RESULT), *(part.active for part in parts)])
    now = time.time() if now is None else now
    holder = _holder(folder)
    silent = max(0.0, now - max(active, holder.beat if holder else 0.0))
    finished = result is not None if search else record.get("status") == "finished"
    limit = max([SILENCE_S, *(3 * part.pace for part in parts)])
    ended = record.get("status") in {"stopped", "failed"} or silent > limit or _gave_up(parts, several)
    state: State = "finished" if finished else "stopped" if ended else "running"
    if holder and not finished:
        state = "dead" if holder.dead(now) else "running"
    if state in {"stopped", "dead"}:
        parts = [_cut_off(part) for part in parts]
    epochs = int(record["config"]["train"]["epochs"])
    return RunStatus(name, str(record["kind"]), f"{where}/{name}", state, silent, epochs, parts, record, result, holder)


def _holder(folder: Path) -> Holder | None:
    with suppress(OSError):
        return LeaseFile(folder / LEASE).read()
    return None


def run_names(storage: Path) -> list[str]:
    """The runs in a storage, by name."""
    return sorted(path.parent.name for path in storage.glob(f"*/{RECORD}"))


def _expected(record: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any] | None]]:
    """Names of the folders of a run's parts; with a trial's, its point. Optuna's later points are not known yet."""
    if record["kind"] == "study":
        plan = record.get("plan", {})
        return [(f"{part}/trial-{i:02d}", point) for part, points in plan.items() for i, point in enumerate(points)]
    if record["kind"] != "tune":
        return [(f"seed-{seed}", None) for seed in record["config"]["train"]["seeds"]]
    points = [(f"trial-{i:02d}", point) for i, point in enumerate(record.get("points", []))]
    if record["config"]["tune"].get("stages", 1) == 1:
        return [*points]
    second = [points[i] for i in record.get("finalists", [])]
    return [(f"stage-{i}/{name}", point) for i, stage in ((1, points), (2, second)) for name, point in stage]


def _read_part(folder: Path, where: str, name: str, point: Mapping[str, Any] | None) -> PartStatus:
    result = read_json(folder / RESULT)
    saved = saved_in(folder)
    events = events_in(folder)
    # The newest checkpoint is written before the journal's line of its epoch, but tracking may be off or a file gone.
    history = max(
        (result["history"] if result else [], saved[1] if saved else [], _history(events)),
        key=len,
    )
    status = next((e["status"] for e in reversed(events) if e["kind"] == "status"), None)
    tags = {key: value for e in events if e["kind"] == "tags" for key, value in e["values"].items()}
    state: State = "finished" if result else "running" if history or events else "waiting"
    reason = None
    by_scheduler = read_json(folder / STOPPED)
    if not result and (by_scheduler or status in ENDED):
        state = "stopped"
        reason = "by the scheduler" if by_scheduler or "stopped_by" in tags else str(status).lower()
    best = best_epoch(history)
    chosen = Path(result["checkpoint"]) if result else saved[0] if saved else None
    return PartStatus(
        name=name,
        point=point,
        state=state,
        reason=reason,
        epoch=int(history[-1]["epoch"]) if history else 0,
        dev=_dev(history[-1]) if history else {},
        best_epoch=best,
        best=_dev(history[best - 1]) if best else {},
        # Where the folder is now: the storage may be mounted elsewhere than where it was written.
        checkpoint=f"{where}/{chosen.name}" if chosen else None,
        active=max(
            [
                0.0,
                *(e["time"] / 1000 for e in events[-1:]),
                modified(folder / RESULT),
                modified(saved[0] / META) if saved else 0.0,
            ]
        ),
        pace=max((row.get("train/seconds", 0.0) for row in history), default=0.0),
    )


def _gave_up(parts: Sequence[PartStatus], search: bool) -> bool:
    """Whether a training said itself that it ended, by an error or Ctrl-C. A search goes on when a trial is stopped."""
    return not search and any(part.state == "stopped" for part in parts)


def _cut_off(part: PartStatus) -> PartStatus:
    """Of a run that has stopped, no part is running."""
    return replace(part, state="stopped") if part.state == "running" else part


def _dev(row: Mapping[str, float]) -> dict[str, float]:
    return {level: row[f"dev/{level}_f1"] for level in LEVELS if f"dev/{level}_f1" in row}


def _history(events: Sequence[Event]) -> list[dict[str, float]]:
    """The rows that the journal has of complete epochs, in order."""
    rows: dict[int, dict[str, float]] = {}
    for event in events:
        if event["kind"] == "metrics" and "train/loss" in event["values"]:
            rows[event["step"]] = {"epoch": float(event["step"]), **event["values"]}
    return [rows[step] for step in sorted(rows)]
