"""`fit(config)`: check everything first, then train each seed in this process or under Ray Train, and sum up."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from tablert_dist import __version__
from tablert_dist.cluster import Shape, connect, room_for, shape_of
from tablert_dist.config import Config, public_config, with_overrides
from tablert_dist.data import Corpus, load_corpus
from tablert_dist.errors import InputError
from tablert_dist.places import PACKAGE
from tablert_dist.scoring import LEVELS, TITLES
from tablert_dist.tables import TagSet
from tablert_dist.tracking import JournalTracker, NullTracker, Tracker, begin_run, default_uri
from tablert_dist.train import runs
from tablert_dist.train.checks import drop_overflow, table_report
from tablert_dist.train.ray_train import Printer, TrackingArgs, run_under_ray
from tablert_dist.train.session import Job, read_result
from tablert_dist.train.worker import choose_place, effective, run_worker

Say = Callable[[str], None]


@dataclass(frozen=True)
class FitResult:
    """A finished training: its folder, and the result of each seed as in `result.json`."""

    name: str
    folder: Path
    results: Sequence[Mapping[str, Any]]

    @property
    def best(self) -> Mapping[str, Any]:
        """The seed with the best dev RE+ (the first where there is no dev split)."""
        return max(self.results, key=lambda r: f1_of(r, "dev", "re_plus") or 0.0)

    def summary(self) -> list[str]:
        """A line for each split: mean ± standard deviation of the micro F1 in percent, then the protocol."""
        lines = []
        for split in self.results[0]["scores"]:
            parts = []
            for level in LEVELS:
                values = [100 * (f1_of(r, split, level) or 0.0) for r in self.results]
                spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
                parts.append(f"{TITLES[level]} {np.mean(values):.1f}{spread}")
            lines.append(f"{split}: {'  '.join(parts)}")
        return lines


def f1_of(result: Mapping[str, Any], split: str, level: str) -> float | None:
    """Micro F1 in 0–1 of a result, or None where the split was not scored."""
    scored = result["scores"].get(split)
    return float(scored["scores"][level]["micro"]["f1"]) if scored else None


def fit(
    config: Config,
    name: str | None = None,
    resume: bool = False,
    init_from: Path | None = None,
    say: Say = lambda line: None,
    parent: str | None = None,
) -> FitResult:
    """Train every seed of the configuration and score the selected weights on dev and test.

    Raises InputError, before anything is written, where the configuration, the data, the encoder or the cluster do
    not allow it.
    """
    config = runs.with_storage(absolute_data(config))
    corpus = check(config, say)
    if init_from is not None:
        check_init(init_from, corpus)
    ray_shape = None
    if config.cluster.num_workers:
        ray = connect(config, show_workers=True)
        ray_shape = shape_of(config, ray.cluster_resources(), trials=False)
        room_for(ray_shape, ray.cluster_resources(), config.cluster.max_workers)
    name = name or runs.new_name("train")
    folder, record = runs.open_run(config, name, resume, "train")
    say(f"run {name} in {folder}")
    results = train_seeds(config, folder, corpus, ray_shape, init_from, parent)
    runs.write_json(folder / runs.RECORD, {**record, "results": results, "status": "finished"})
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
    for seed in config.train.seeds:
        job = Job(config, folder / f"seed-{seed}", seed, init_from)
        done = read_result(job.folder)
        results.append(
            done if done is not None else _train_one(job, corpus, shape, f"{folder.name}/seed-{seed}", parent)
        )
    return results


def _train_one(job: Job, corpus: Corpus, shape: Shape | None, name: str, parent: str | None) -> dict[str, Any]:
    tracking = tracking_args(job.config, name, parent)
    tracker: Tracker = NullTracker()
    if tracking:
        tracker = open_tracker(job, tracking, corpus.name, corpus.hash)
    with tracker:
        if shape:
            return run_under_ray(job, shape, tracking)
        show = Printer(job.config.train.epochs)
        return run_worker(job, choose_place(job.config), tracker, show.epoch, show.step)


def absolute_data(config: Config) -> Config:
    """The configuration with local paths absolute, for workers in other folders."""
    changes = {}
    for key, value in (("data.path", config.data.path), ("model.encoder", config.model.encoder)):
        if value and not value.startswith(PACKAGE) and Path(value).expanduser().exists():
            changes[key] = str(Path(value).expanduser().resolve())
    return with_overrides(config, changes)


def check(config: Config, say: Say) -> Corpus:
    """Read the data, the encoder's configuration and its tokenizer; say what was found. Raises InputError."""
    from tablert_dist.model.encoder import check_encoder

    choose_place(config) if not config.cluster.num_workers else None
    corpus = load_corpus(config.data)
    for note in corpus.notes:
        say(note)
    limits = check_encoder(config.model.encoder, config.model.layer)
    drop_overflow(corpus, limits, config)
    for split, found in table_report(corpus, TagSet(corpus.schema)).items():
        lost = f"; a table cannot hold {found['lost']}" if found["total"] else ""
        oracle = f": oracle RE+ F1 {100 * found['oracle_re_plus_f1']:.2f}" if found["total"] else ""
        say(f"{corpus.name} {split}: {len(corpus.splits[split])} sentences{lost}{oracle}")
    if effective(config) is not config:
        say("trained on train+dev: there is no dev split, so the last epoch's weights are the result")
    return corpus


def check_init(folder: Path, corpus: Corpus) -> None:
    """Refuse a checkpoint of another schema before anything starts."""
    from tablert_dist.checkpoint import read_card

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
