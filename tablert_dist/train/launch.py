"""Start a training under Ray Train and wait for its end.

Must not import torch: every trial runs this in an actor that only waits, and the import would delay its start by seconds.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from tablert_dist.cluster import ScalingPlan
from tablert_dist.config import Config
from tablert_dist.errors import InputError, RunError, Stopped
from tablert_dist.runs.job import Job, read_result
from tablert_dist.storage.checkpoint_folder import META, checkpoints, partials
from tablert_dist.train.stopping import NEVER, Stop, attended, ended_after
from tablert_dist.waiting import announce

log = logging.getLogger(__name__)


def run_under_ray(
    job: Job,
    scaling: ScalingPlan,
    callbacks: Sequence[Any] = (),
    show: bool = True,
    corpus: Any = None,
    stop: Stop = NEVER,
) -> dict[str, Any]:
    """Train under Ray Train on a connected cluster; the result as in `result.json`.

    Workers that die are started again, `cluster.max_failures` times, and go on from the newest checkpoint. `corpus` is
    an object reference to the Corpus, which Ray brings to each node once; unset: every worker reads `data.path`.
    Those whose node is taken away with a notice save first, and go on elsewhere from that step. Raises InputError where the
    workers refuse their input, Stopped where `stop` asked them to end, or the run's flag, RunError where they fail.
    """
    while True:
        before = _saved(job)
        _run(_made(job, scaling, callbacks, show, corpus), job, stop)
        job.folder.mirror.pull_files()
        result = read_result(job.folder.path)
        if result is not None:
            return result
        if stop.asked or job.flag.word() != "no":
            raise Stopped(_how_far(job))
        if _saved(job) == before:
            raise RunError(
                f"the workers ended without {job.folder.path / 'result.json'}; is the folder on shared storage?"
            )
        announce("a node is being taken away: the workers have saved, and go on elsewhere")


def _saved(job: Job) -> set[tuple[str, bytes]]:
    """The checkpoints in the middle of an epoch, with what says which they are."""
    job.folder.mirror.pull_cards(())
    return {(path.name, (path / META).read_bytes()) for path in partials(job.folder.path)}


def _how_far(job: Job) -> str:
    """What the workers have saved, in words."""
    for path in reversed((*checkpoints(job.folder.path), *partials(job.folder.path))):
        notes = json.loads((path / META).read_text(encoding="utf-8"))["notes"]
        done = len(notes["history"])
        return ended_after(job.seed, done, job.config.train.epochs, notes.get("step", 0), notes.get("steps", 0))
    return "no step was taken yet"


def _made(job: Job, scaling: ScalingPlan, callbacks: Sequence[Any], show: bool, corpus: Any) -> Any:
    """Ray's trainer."""
    from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig

    resources = {"CPU": scaling.cpus} | ({"GPU": scaling.gpus} if scaling.gpus else {})
    kind, options = _trainer(scaling, job.config)
    if show:
        announce("starting the workers")
    return kind(
        _worker,
        **options,
        train_loop_config={"job": job, "corpus": [corpus], "show": show},
        scaling_config=ScalingConfig(
            num_workers=(scaling.workers, scaling.most) if scaling.most else scaling.workers,
            use_gpu=scaling.gpus > 0,
            resources_per_worker=resources,
            elastic_resize_monitor_interval_s=job.config.cluster.resize_seconds,
        ),
        run_config=RunConfig(
            name="ray_train",
            **job.folder.ray_storage(),
            callbacks=list(callbacks),
            failure_config=FailureConfig(max_failures=job.config.cluster.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )


def _run(trainer: Any, job: Job, stop: Stop) -> None:
    """Train to the end, or until `stop` asks."""
    try:
        trainer.fit() if stop is NEVER else attended(trainer.fit, stop, job.flag)
    except Stopped:
        import ray

        # What does not end is ended: this process's actors are, when it leaves the cluster.
        ray.shutdown()
        raise
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


def _trainer(scaling: ScalingPlan, config: Config) -> tuple[Any, dict[str, Any]]:
    """TorchTrainer, which makes a process group, and its options. One worker needs none, and its waiter and its controller
    are spared the import of torch: seconds of a trial's start."""
    if scaling.workers == 1 and not scaling.most:
        # Not exported by ray.train (Ray 2.60); delete when it is.
        from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

        return DataParallelTrainer, {}
    from ray.train.torch import TorchConfig, TorchTrainer

    # Ray takes NCCL wherever a worker has a GPU, also for a training that stays on the CPU (Ray 2.60; cf. ray#49778).
    return TorchTrainer, {"torch_config": TorchConfig(backend="gloo") if config.train.device == "cpu" else None}


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
