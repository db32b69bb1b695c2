"""The worker under Ray Train: DDP ranks, restarts, metrics back to the caller. One training of one seed."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from tablert_dist.errors import InputError, RunError, Stopped
from tablert_dist.runs.job import Job
from tablert_dist.runs.location import storage_root
from tablert_dist.scoring import TITLES
from tablert_dist.train.stopping import StopWatch
from tablert_dist.train.worker import choose_context, run_worker
from tablert_dist.waiting import show_waits

log = logging.getLogger(__name__)


def work(args: dict[str, Any]) -> None:
    """One rank. Checkpoints go to the run's folder by ourselves: renamed when whole, found again by name."""
    import ray
    import ray.train
    import torch

    # Ray names this logger after its file, so LoggingConfig (ray#61550) does not reach it, and it logs every report with
    # every metric (Ray 2.60; delete when it is named `ray.train.…`).
    chatty = Path(ray.train.__file__).parent / "v2" / "_internal" / "execution" / "context.py"
    logging.getLogger(str(chatty)).setLevel(logging.WARNING)
    worker = ray.train.get_context()
    rank, world = worker.get_world_rank(), worker.get_world_size()
    sent: Job = args["job"]
    # Every node has its own home, and ranks on one node must not write over each other.
    job = replace(sent, folder=sent.folder.of_rank(rank, storage_root(sent.config)))
    context = choose_context(job.config, rank, world)
    if context.device.type == "cuda":
        import ray.train.torch

        torch.cuda.set_device(ray.train.torch.get_device())
    job.folder.mirror.pull()
    tracker = None if rank else job.folder.tracker(job.tracked)
    show = Printer(job.config.train.epochs) if rank == 0 and args["show"] else None
    if show:
        show_waits(to_stdout=True)
    if show and world > 1:
        print(f"{world} workers", flush=True)

    def report(row: dict[str, float]) -> None:
        if show:
            show.epoch(row)
        ray.train.report(row)

    (reference,) = args["corpus"]
    corpus = ray.get(reference) if reference is not None else None
    stop = StopWatch(job.flag, rank, leaving)
    try:
        run_worker(job, context, tracker, report, show.step if show else None, corpus, stop)
    except Stopped:
        # Returned from, not raised: Ray would start the workers again.
        pass
    except (InputError, RunError, ray.exceptions.RayActorError):
        # The driver says it in a sentence, and the other ranks only miss the one that failed; Ray logs a traceback of each
        # at ERROR, which LoggingConfig cannot switch off (Ray 2.60).
        logging.getLogger("ray.train.v2._internal.util").setLevel(logging.CRITICAL)
        raise
    if tracker:
        tracker.close(None, timeout=20.0)
    if rank == 0:
        job.folder.mirror.push_files()
    job.folder.drop_copy()


def leaving() -> bool:
    """Whether this worker's node is being drained, as a cloud's notice makes Ray do.

    Ray Train's own watcher (Ray 2.60) is switched off: it calls a training finished whose workers save and return, counts
    it as a failure if they raise, and a worker learns of it by a barrier only. It reads the same place.
    """
    import ray

    try:
        # No public call tells it; delete when there is one.
        from ray._private.state import state

        return ray.get_runtime_context().get_node_id() in (state.get_draining_nodes() or {})
    except Exception as error:  # whatever becomes of a private call, the training goes on
        log.debug("whether the node is being drained is not known: %s", error)
        return False


class Printer:
    """Progress as lines, for a console that shows several processes; at most one in ten seconds and one an epoch."""

    def __init__(self, epochs: int) -> None:
        import time

        self._epochs, self._clock, self._said = epochs, time.monotonic, time.monotonic()

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """As `loop.Progress`."""
        if self._clock() - self._said > 10.0:
            self._said = self._clock()
            print(f"epoch {epoch + 1}/{self._epochs}  step {step}/{steps}  loss/sentence {loss:.2f}", flush=True)

    def epoch(self, row: dict[str, float]) -> None:
        """One line for an epoch's metrics."""
        print(epoch_line(row, self._epochs), flush=True)
        self._said = self._clock()


def epoch_line(row: dict[str, float], epochs: int) -> str:
    """`epoch 3/10  loss 10.4  dev NER 76.1  RE 52.0  RE+ 49.5  21.7 sentences/s`."""
    parts = [f"epoch {int(row['epoch'])}/{epochs}", f"loss/sentence {row['train/loss']:.2f}"]
    if "dev/ner_f1" in row:
        parts.append(f"dev {dev_scores(row)}")
    parts.append(f"{row['train/sentences_per_second']:.1f} sentences/s")
    return "  ".join(parts)


def dev_scores(row: dict[str, float]) -> str:
    """`NER 76.1  RE 52.0  RE+ 49.5`."""
    return "  ".join(f"{title} {100 * row[f'dev/{level}_f1']:.1f}" for level, title in TITLES.items())
