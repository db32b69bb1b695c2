"""`fit(config)`: check everything first, then train each seed in this process or under Ray Train, and sum up."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from tablert_dist import __version__
from tablert_dist.cluster import Shape, capacity, connect, room_for, shape_of
from tablert_dist.config import Config, public_config, with_overrides
from tablert_dist.data import Corpus, load_corpus
from tablert_dist.errors import InputError
from tablert_dist.heads import head_spec
from tablert_dist.runs import store as runs
from tablert_dist.runs.job import Job, read_result
from tablert_dist.runs.result import FitResult
from tablert_dist.storage.mirror import JOURNAL, Mirror
from tablert_dist.storage.paths import PACKAGE
from tablert_dist.tags import TagSet
from tablert_dist.tracking import JournalTracker, NullTracker, Tracker, begin_run, default_uri
from tablert_dist.train.launch import TrackingArgs, run_under_ray
from tablert_dist.train.preflight import drop_overflow, table_report
from tablert_dist.train.ray_train import Printer
from tablert_dist.train.worker import choose_place, effective, run_worker

Say = Callable[[str], None]


def fit(
    config: Config,
    name: str | None = None,
    resume: bool = False,
    init_from: Path | None = None,
    say: Say = lambda line: None,
    parent: str | None = None,
    validate: bool = True,
) -> FitResult:
    """Train every seed of the configuration and score the selected weights on dev and test.

    `validate` looks for mistakes in the data first. Raises InputError, before anything is written, where the
    configuration, the data, the encoder or the cluster do not allow it.
    """
    config = runs.with_storage(absolute_data(config))
    tracking_args(config, "", None)
    corpus = check(config, say, validate)
    if init_from is not None:
        check_init(init_from, corpus)
    ray_shape = None
    if config.cluster.num_workers:
        ray = connect(config, show_workers=True)
        ray_shape = shape_of(config, ray.cluster_resources(), trials=False)
        room_for(ray_shape, capacity(), config.cluster.max_workers)
    name = name or runs.new_name("train")
    folder, record = runs.open_run(config, name, resume, "train")
    say(f"run {name} in {runs.remote_root(config) or folder.parent}/{name}")
    results = train_seeds(config, folder, corpus, ray_shape, init_from, parent)
    runs.write_record(config, folder, {**record, "results": results, "status": "finished"})
    runs.drop_features(folder)
    return FitResult(name, folder, results)


def train_seeds(
    config: Config,
    folder: Path,
    corpus: Corpus,
    shape: Shape | None,
    init_from: Path | None = None,
    parent: str | None = None,
) -> list[dict[str, Any]]:
    """Train every seed in a folder of its own, under Ray where a shape is given; seeds that are finished are read."""
    results = []
    remote = runs.remote_root(config)
    for seed in config.train.seeds:
        copy = remote / folder.relative_to(runs.storage_root(config)).as_posix() / f"seed-{seed}" if remote else None
        job = Job(config, folder / f"seed-{seed}", seed, init_from, remote=copy)
        if copy:
            Mirror(job.folder, copy).pull_files()
        done = read_result(job.folder)
        if done is None:
            done = _train_one(job, corpus, shape, f"{folder.name}/seed-{seed}", parent)
        if copy:
            Mirror(job.folder, copy).pull_checkpoint(Path(done["checkpoint"]).name)
        results.append(done)
    return results


def _train_one(job: Job, corpus: Corpus, shape: Shape | None, name: str, parent: str | None) -> dict[str, Any]:
    tracking = tracking_args(job.config, name, parent)
    if shape is None:
        if job.remote:
            Mirror(job.folder, job.remote).pull()
        tracker: Tracker = open_tracker(job, tracking, corpus.name, corpus.hash) if tracking else NullTracker()
        with tracker:
            show = Printer(job.config.train.epochs)
            return run_worker(job, choose_place(job.config), tracker, show.epoch, show.step, corpus)
    import ray

    # Rank 0 goes on with the journal, on another node perhaps, so nobody else has it open meanwhile.
    with tracked(job, tracking, corpus):
        return run_under_ray(job, shape, tracking, corpus=ray.put(corpus))


@contextmanager
def tracked(job: Job, tracking: TrackingArgs | None, corpus: Corpus) -> Iterator[None]:
    """Begin the run's journal, leave it to the workers, and write how they ended."""
    if tracking is None:
        yield
        return
    mirror = Mirror(job.folder, job.remote) if job.remote else None
    if mirror:
        mirror.pull_files()
    open_tracker(job, tracking, corpus.name, corpus.hash).close(None, timeout=0.5)
    if mirror:
        mirror.push_files()
    status: Literal["FINISHED", "FAILED", "KILLED"] = "KILLED"
    try:
        yield
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        if mirror:
            mirror.pull_files()
        open_tracker(job, tracking, corpus.name, corpus.hash).close(status)
        if mirror:
            mirror.push_files()


def absolute_data(config: Config) -> Config:
    """The configuration with local paths absolute, for workers in other folders."""
    changes = {}
    for key, value in (("data.path", config.data.path), ("model.encoder", config.model.encoder)):
        if value and not value.startswith(PACKAGE) and Path(value).expanduser().exists():
            changes[key] = str(Path(value).expanduser().resolve())
    return with_overrides(config, changes)


def check(config: Config, say: Say, validate: bool = False) -> Corpus:
    """Read the data, the encoder's configuration and its tokenizer; say what was found. Raises InputError.

    `validate` also says what looks like a mistake in the data, and refuses what surely is one.
    """
    from tablert_dist.data.validation import corpus_case, quick_lines
    from tablert_dist.model.encoder import check_encoder

    choose_place(config) if not config.cluster.num_workers else None
    corpus = load_corpus(config.data, config.model)
    for note in corpus.notes:
        say(note)
    limits = check_encoder(config.model.encoder, config.model.layer)
    drop_overflow(corpus, limits, config)
    form = head_spec(config.model).form
    for split, found in table_report(corpus, TagSet(corpus.schema), config.model).items():
        lost = f"; {form} cannot hold {found['lost']}" if found["total"] else ""
        oracle = f": oracle RE+ F1 {100 * found['oracle_re_plus_f1']:.2f}" if found["total"] else ""
        say(f"{corpus.name} {split}: {len(corpus.splits[split])} sentences{lost}{oracle}")
    if validate:
        for line in quick_lines(corpus_case(corpus, config.data, config.model, limits.tokenizer)):
            say(line)
    if effective(config) is not config:
        say("trained on train+dev: there is no dev split, so the last epoch's weights are the result")
    return corpus


def check_init(folder: Path, corpus: Corpus) -> None:
    """Refuse a checkpoint of another schema before anything starts."""
    from tablert_dist.model.checkpoint import read_card

    card = read_card(folder)
    if card.schema != corpus.schema:
        raise InputError(
            f"--init-from {folder}: that checkpoint has the types {card.schema.to_json()}, "
            f"the data has {corpus.schema.to_json()}"
        )


def tracking_args(config: Config, name: str, parent: str | None) -> TrackingArgs | None:
    """How this run reaches MLflow, or None where tracking is off."""
    if not config.tracking.enabled:
        return None
    if runs.remote_root(config) and not config.tracking.uri:
        raise InputError(
            "train.storage is a URL, where no SQLite file can lie: give an MLflow server with --set "
            "tracking.uri=http://HOST:5000, or --set tracking.enabled=false"
        )
    uri = config.tracking.uri or default_uri(runs.storage_root(config))
    return TrackingArgs(uri, config.tracking.experiment, name, parent)


def open_tracker(job: Job, tracking: TrackingArgs, data_name: str, data_hash: str) -> JournalTracker:
    """Begin (or go on with) the run's journal: parameters once, versions and data as tags."""
    return begin_run(
        job.folder,
        uri=tracking.uri,
        experiment=tracking.experiment,
        name=tracking.name,
        parent=tracking.parent,
        sends=tracking.sends,
        publish=partial(Mirror(job.folder, job.remote).push_files, JOURNAL) if job.remote else None,
        params={**flat_public(job.config), "seed": job.seed},
        tags={"data.name": data_name, "data.hash": data_hash, **provenance()},
    )


def flat_public(config: Config) -> dict[str, Any]:
    """The configuration without paths and addresses, by dotted key."""
    return {f"{section}.{key}": value for section, part in public_config(config).items() for key, value in part.items()}


def provenance() -> dict[str, str]:
    """Versions of what computes, and the git revision where the source is a checkout."""
    found = {"version.tablert_dist": __version__}
    for package in ("torch", "transformers", "ray", "onnxruntime"):
        try:
            found[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            continue
    source = Path(__file__).resolve().parents[2]
    if (source / ".git").exists():
        git = subprocess.run(
            ["git", "-C", str(source), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
        )
        if git.returncode == 0:
            found["git.revision"] = git.stdout.strip()
    return found
