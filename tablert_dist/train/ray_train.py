"""The worker under Ray Train: DDP ranks, restarts, metrics back to the caller. One training of one seed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tablert_dist.cluster import Shape
from tablert_dist.config import Config
from tablert_dist.errors import InputError, RunError
from tablert_dist.remote import Remote
from tablert_dist.train import runs
from tablert_dist.train.mirror import Mirror
from tablert_dist.train.session import Job, read_result
from tablert_dist.train.worker import choose_place, run_worker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrackingArgs:
    """What rank 0 needs to go on with the run's journal."""

    uri: str
    experiment: str
    name: str
    parent: str | None


def run_under_ray(
    job: Job,
    shape: Shape,
    tracking: TrackingArgs | None,
    callbacks: Sequence[Any] = (),
    show: bool = True,
    corpus: Any = None,
) -> dict[str, Any]:
    """Train under `TorchTrainer` on a connected cluster; the result as in `result.json`.

    Workers that die are started again, `cluster.max_failures` times, and go on from the newest checkpoint. `corpus` is
    an object reference to the Corpus, which Ray brings to each node once; unset: every worker reads `data.path`.
    Raises InputError where the workers refuse their input, RunError where they fail for another reason.
    """
    from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    resources = {"CPU": shape.cpus} | ({"GPU": shape.gpus} if shape.gpus else {})
    trainer = TorchTrainer(
        _worker,
        train_loop_config={
            "config": job.config.model_dump(mode="json"),
            "folder": str(job.folder),
            "remote": job.remote.url if job.remote else None,
            "corpus": [corpus],
            "seed": job.seed,
            "init_from": str(job.init_from) if job.init_from else None,
            "score_test": job.score_test,
            "tracking": asdict(tracking) if tracking else None,
            "show": show,
        },
        scaling_config=ScalingConfig(
            num_workers=(shape.workers, shape.most) if shape.most else shape.workers,
            use_gpu=shape.gpus > 0,
            resources_per_worker=resources,
            elastic_resize_monitor_interval_s=job.config.cluster.resize_seconds,
        ),
        run_config=RunConfig(
            name="ray_train",
            **storage_of(job.folder, job.remote),
            callbacks=list(callbacks),
            failure_config=FailureConfig(max_failures=job.config.cluster.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )
    try:
        trainer.fit()
    except Exception as error:
        cause = _root_of(error)
        if isinstance(cause, InputError):
            raise cause from None
        log.debug("the training failed", exc_info=error)
        told = f"{type(cause).__name__}: {cause}".strip().splitlines()[0]
        raise RunError(
            f"the training in {job.folder} failed more than cluster.max_failures = "
            f"{job.config.cluster.max_failures} times; the last error: {told}"
        ) from error
    if job.remote:
        Mirror(job.folder, job.remote).pull_files()
    result = read_result(job.folder)
    if result is None:
        raise RunError(f"the workers ended without {job.folder / 'result.json'}; is the folder on shared storage?")
    return result


def storage_of(folder: Path, remote: Remote | None) -> dict[str, Any]:
    """Where Ray keeps its own files of a run, as arguments of Train's and Tune's RunConfig."""
    if remote is None:
        return {"storage_path": str(folder)}
    system, path = remote.place
    return {"storage_path": path, "storage_filesystem": system}


def _worker(args: dict[str, Any]) -> None:
    """One rank. Checkpoints go to the run's folder by ourselves: renamed when whole, found again by name."""
    import ray
    import ray.train
    import torch

    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    config = Config.model_validate(args["config"], strict=False)
    remote = Remote(args["remote"]) if args["remote"] else None
    folder = Path(args["folder"])
    if remote:
        # Every node has its own home, and ranks on one node must not write over each other.
        folder = runs.storage_root(config) / folder.parent.name / f"{folder.name}.rank-{rank}"
    init_from = Path(args["init_from"]) if args["init_from"] else None
    job = Job(config, folder, args["seed"], init_from, args["score_test"], remote)
    place = choose_place(config, rank, world)
    if place.device.type == "cuda":
        torch.cuda.set_device(ray.train.torch.get_device())
    if remote:
        Mirror(folder, remote).pull()
    tracker = None
    if rank == 0 and args["tracking"]:
        from tablert_dist.tracking import begin_run

        tracker = begin_run(job.folder, **args["tracking"])
    show = Printer(job.config.train.epochs) if rank == 0 and args["show"] else None
    if show and world > 1:
        print(f"{world} workers", flush=True)

    def report(row: dict[str, float]) -> None:
        if show:
            show.epoch(row)
        ray.train.report(row)

    (reference,) = args["corpus"]
    corpus = ray.get(reference) if reference is not None else None
    run_worker(job, place, tracker, report, show.step if show else None, corpus)
    if tracker:
        tracker.close(None, timeout=20.0)
    if remote:
        if rank == 0:
            Mirror(folder, remote).push_files()
        shutil.rmtree(folder, ignore_errors=True)


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
        parts.append(
            f"dev NER {100 * row['dev/ner_f1']:.1f}  RE {100 * row['dev/re_f1']:.1f}  RE+ {100 * row['dev/re_plus_f1']:.1f}"
        )
    parts.append(f"{row['train/sentences_per_second']:.1f} sentences/s")
    return "  ".join(parts)


def _root_of(error: BaseException) -> BaseException:
    """The worker's own exception inside Ray's wrappers."""
    failures = getattr(error, "worker_failures", None)
    if failures:
        return _root_of(next(iter(failures.values())))
    inner = getattr(error, "cause", None) or getattr(error, "__cause__", None)
    return _root_of(inner) if isinstance(inner, BaseException) else error
