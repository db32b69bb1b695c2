"""What Ray Tune, Ray Train and MLflow add to a search: its time against that of its bare training loops."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch
from torch import multiprocessing

from bench.folders import encoder_source
from bench.options import encoder_option, smoke_option
from bench.sources import TINY_SHAPE
from bench.timing import report
from tablert_dist.cluster import connect
from tablert_dist.config import Config, load_config, with_overrides
from tablert_dist.data import load_corpus
from tablert_dist.runs.folder import RunFolder
from tablert_dist.runs.job import Job
from tablert_dist.train.worker import choose_context, run_worker
from tablert_dist.tune.search import search
from tablert_dist.tune.space import Space

AT_ONCE = 2
SPACE = Space("overhead", {"optim.lr": (1e-3, 9e-4, 8e-4, 7e-4)})
"""Trials that cost the same."""


def _loops(rank: int, barrier: Any, tree: dict[str, Any], points: Sequence[dict[str, Any]], folder: str) -> None:
    """This process's share of the points, one after the other; the seconds of each into a file."""
    torch.set_num_threads(1)
    config = Config.model_validate(tree, strict=False)
    found = []
    for index, point in list(enumerate(points))[rank::AT_ONCE]:
        job = Job(with_overrides(config, point), RunFolder(Path(folder) / f"loop-{index}"), 1, score_test=False)
        barrier.wait()
        started = time.perf_counter()
        result = run_worker(job, choose_context(job.config))
        found.append((time.perf_counter() - started, result["history"][-1]["train/seconds"]))
    (Path(folder) / f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")


def _bare(config: Config, points: Sequence[dict[str, Any]], folder: Path) -> list[tuple[float, float]]:
    """Of each training its seconds, data and model and checkpoints included, and those of its last epoch's steps."""
    folder.mkdir(parents=True)
    barrier = multiprocessing.get_context("spawn").Barrier(AT_ONCE)
    arguments = (barrier, config.model_dump(mode="json"), points, str(folder))
    multiprocessing.spawn(_loops, arguments, nprocs=AT_ONCE)  # type: ignore[no-untyped-call]
    files = [json.loads((folder / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(AT_ONCE)]
    return [tuple(one) for found in files for one in found]


def _clock(starts: dict[str, float], steps: dict[str, float], sentences: int) -> Any:
    """A Tune callback: when each trial starts, and when its worker began its first step (a report's delay later)."""
    from ray.tune import Callback

    class Clock(Callback):  # type: ignore[misc]
        def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            starts[trial.trial_id] = time.perf_counter()

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
            if result["epoch"] == 1:
                epoch = result["train/seconds"] + sentences / result["dev/sentences_per_second"]
                steps[trial.trial_id] = time.perf_counter() - epoch

    return Clock()


def _searched(config: Config, space: Space) -> tuple[float, float, float]:
    """Seconds of the search, of Ray's start in it, and from a trial's start to its first step (mean)."""
    import ray

    dev = len(load_corpus(config.data).splits["dev"])
    starts: dict[str, float] = {}
    steps: dict[str, float] = {}
    started = time.perf_counter()
    try:
        connect(config, show_workers=False)
        ray_s = time.perf_counter() - started
        search(config, space, "overhead", False, lambda line: None, lambda trials, ended: _clock(starts, steps, dev))
        return time.perf_counter() - started, ray_s, statistics.mean(steps[t] - starts[t] for t in starts)
    finally:
        ray.shutdown()


@click.command()
@smoke_option(encoder=TINY_SHAPE, seconds=0, trials=AT_ONCE)
@encoder_option
@click.option("--seconds", default=120, show_default=True, help="About how long one trial's loop lasts.")
@click.option("--trials", default=4, show_default=True, type=click.IntRange(AT_ONCE, 4))
def main(encoder: str, seconds: int, trials: int) -> None:
    """`trials` trials on the packaged sample, encoder and all, two at once with a CPU each.

    The bare loops are `run_worker` in two processes of one thread each, at the same time: the same work under the same
    contention, without Ray and MLflow; half of them before the search and half after it, for the machine may not be
    equally busy. The search's time includes the start of Ray (`ray_s`).
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        keys = {
            "model.encoder": encoder_source(encoder, folder / "encoder"),
            "model.frozen": False,
            "train.storage": str(folder / "runs"),
        }
        keys |= {"cluster.cpus_per_worker": 1.0, "tune.max_concurrent": AT_ONCE, "train.device": "cpu"}
        config = load_config("sample", keys)
        space = Space(SPACE.name, {key: values[:trials] for key, values in SPACE.grid.items()})
        points = space.points()
        tried = _bare(with_overrides(config, {"train.epochs": 2}), points[:AT_ONCE], folder / "tried")
        epoch = statistics.mean(steps for _, steps in tried)
        config = with_overrides(config, {"train.epochs": max(2, round(seconds / epoch))})
        before = _bare(config, points[:AT_ONCE], folder / "before")
        searched, ray_s, start_s = _searched(config, space)
        after = _bare(config, points[AT_ONCE:], folder / "after") if trials > AT_ONCE else []
        loops = [whole for whole, _ in (*before, *after)]
        bare = sum(loops) / AT_ONCE
        report(
            "overhead",
            {
                "ratio": round(searched / bare, 3),
                "search_s": round(searched, 1),
                "bare_s": round(bare, 1),
                "loop_s": round(statistics.mean(loops), 1),
                "ray_s": round(ray_s, 1),
                "start_s": round(start_s, 1),
                "epochs": config.train.epochs,
                "trials": len(points),
                "at_once": AT_ONCE,
            },
        )


if __name__ == "__main__":
    main()
