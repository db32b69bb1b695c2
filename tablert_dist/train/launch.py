"""Starting a training under Ray Train and waiting for its end. Imports no torch: each trial of a search has such a waiter."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tablert_dist.cluster import Shape
from tablert_dist.config import Config
from tablert_dist.errors import InputError, RunError
from tablert_dist.runs.job import Job, read_result
from tablert_dist.storage.remote import Remote

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrackingArgs:
    """What rank 0 needs to go on with the run's journal."""

    uri: str
    experiment: str
    name: str
    parent: str | None
    sends: bool = True
    """Whether rank 0 sends the journal itself, for which it has to import MLflow; otherwise the search does."""


def run_under_ray(
    job: Job,
    shape: Shape,
    tracking: TrackingArgs | None,
    callbacks: Sequence[Any] = (),
    show: bool = True,
    corpus: Any = None,
) -> dict[str, Any]:
    """Train under Ray Train on a connected cluster; the result as in `result.json`.

    Workers that die are started again, `cluster.max_failures` times, and go on from the newest checkpoint. `corpus` is
    an object reference to the Corpus, which Ray brings to each node once; unset: every worker reads `data.path`.
    Raises InputError where the workers refuse their input, RunError where they fail for another reason.
    """
    from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig

    resources = {"CPU": shape.cpus} | ({"GPU": shape.gpus} if shape.gpus else {})
    kind, options = _trainer(shape, job.config)
    trainer = kind(
        _worker,
        **options,
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
        from tablert_dist.storage.mirror import Mirror

        Mirror(job.folder, job.remote).pull_files()
    result = read_result(job.folder)
    if result is None:
        raise RunError(f"the workers ended without {job.folder / 'result.json'}; is the folder on shared storage?")
    return result


def _trainer(shape: Shape, config: Config) -> tuple[Any, dict[str, Any]]:
    """TorchTrainer, which makes a process group, and its options. One worker needs none, and its waiter and its controller
    are spared the import of torch: seconds of a trial's start."""
    if shape.workers == 1 and not shape.most:
        from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

        return DataParallelTrainer, {}
    from ray.train.torch import TorchConfig, TorchTrainer

    # Ray takes NCCL wherever a worker has a GPU, also where the training was told to stay on the CPU.
    return TorchTrainer, {"torch_config": TorchConfig(backend="gloo") if config.train.device == "cpu" else None}


def storage_of(folder: Path, remote: Remote | None) -> dict[str, Any]:
    """Where Ray keeps its own files of a run, as arguments of Train's and Tune's RunConfig."""
    if remote is None:
        return {"storage_path": str(folder)}
    system, path = remote.place
    return {"storage_path": path, "storage_filesystem": system}


def _worker(args: dict[str, Any]) -> None:
    from tablert_dist.train.ray_train import work

    work(args)


def _root_of(error: BaseException) -> BaseException:
    """The worker's own exception inside Ray's wrappers."""
    failures = getattr(error, "worker_failures", None)
    if failures:
        return _root_of(next(iter(failures.values())))
    inner = getattr(error, "cause", None) or getattr(error, "__cause__", None)
    return _root_of(inner) if isinstance(inner, BaseException) else error
