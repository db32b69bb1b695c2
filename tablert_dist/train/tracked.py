"""How a training appears in MLflow: parameters once, versions and data as tags, and how it ended. No torch."""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tablert_dist import __version__
from tablert_dist.config import Config, public_config
from tablert_dist.errors import Stopped, counted
from tablert_dist.heads import head_spec
from tablert_dist.runs.job import Job
from tablert_dist.tracking import NOTE, STOPPED_S, Status, Tracker
from tablert_dist.waiting import waiting

if TYPE_CHECKING:
    from tablert_dist.data import Corpus


CONTEXTS = {"train": "training", "dev": "validation", "test": "testing"}
"""MLflow's names of what a split is for."""


def open_tracker(job: Job, corpus: Corpus) -> Tracker:
    """Begin the training's journal, or go on with it."""
    tags = {
        "data.name": corpus.name,
        "data.hash": corpus.hash,
        NOTE: described(job.config, corpus, job.seed),
        **provenance("tablert_dist.train"),
    }
    tracker = job.folder.tracker(job.tracked, {**flat_public(job.config), "seed": job.seed}, tags)
    log_data(tracker, corpus)
    return tracker


def log_data(tracker: Tracker, corpus: Corpus) -> None:
    """Log each split as a data set: sentences, entities and relations in it, and the hash of its files."""
    for split, sentences in corpus.splits.items():
        profile = {
            "sentences": len(sentences),
            "entities": sum(len(s.entities) for s in sentences),
            "relations": sum(len(s.relations) for s in sentences),
        }
        tracker.dataset(
            f"{corpus.name} {split}", corpus.hashes.get(split, corpus.hash), CONTEXTS.get(split, split), profile
        )


def described(config: Config, corpus: Corpus, seed: int) -> str:
    """The training in words, for the run's page."""
    spec, model = head_spec(config.model), config.model
    encoder = f"{model.encoder} ({'frozen' if model.frozen else 'updated'})"
    splits = sorted(corpus.splits, key=[*CONTEXTS].index)
    sizes = ", ".join(f"{split} {counted(len(corpus.splits[split]), 'sentence')}" for split in splits)
    return (
        f"{spec.title} on {corpus.name} ({sizes}). Encoder {encoder}; {counted(config.train.epochs, 'epoch')} of batches "
        f"of {config.train.batch_size}, learning rate {config.optim.lr:g} (encoder {config.optim.encoder_lr:g}), seed {seed}."
    )


@contextmanager
def tracked(job: Job, corpus: Corpus) -> Iterator[None]:
    """Begin the training's journal, leave it to the workers, and write how they ended."""
    # Rank 0 continues the journal, perhaps on another node, so no other process may have it open meanwhile.
    job.folder.journal_mirror.pull_files()
    open_tracker(job, corpus).close(None, timeout=0.5)
    job.folder.journal_mirror.push_files()
    status: Status = "KILLED"
    seconds = 60.0
    try:
        yield
        status = "FINISHED"
    except Stopped:
        seconds = STOPPED_S
        raise
    except Exception:
        status = "FAILED"
        raise
    finally:
        job.folder.journal_mirror.pull_files()
        with waiting("sending what is left of the run to MLflow"):
            open_tracker(job, corpus).close(status, seconds)
        job.folder.journal_mirror.push_files()


def flat_public(config: Config) -> dict[str, Any]:
    """The configuration without paths and addresses, by dotted key; of the heads' sections that of the head in use."""
    tree = public_config(config)
    model = tree["model"]
    own = {f"model.{config.model.head}.{key}": value for key, value in model[config.model.head].items()}
    if isinstance(hidden := model[config.model.head].get("hidden"), list | tuple):
        # As numbers, which MLflow plots and sorts by; `hidden` has the same as a list.
        own |= {"model.depth": len(hidden) + 1, "model.width": max(hidden, default=0)}
    model = {key: value for key, value in model.items() if not isinstance(value, dict)}
    return {
        f"{section}.{key}": value for section, part in {**tree, "model": model}.items() for key, value in part.items()
    } | own


@cache
def provenance(source_name: str) -> dict[str, str]:
    """Versions of what computes, who ran what, and the git revision where the source is a checkout."""
    in_job = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    found = {
        "version.tablert_dist": __version__,
        "mlflow.source.name": source_name,
        "mlflow.source.type": "JOB" if in_job else "LOCAL",
    }
    with contextlib.suppress(OSError, KeyError):  # a user without a name, as in some containers
        found["mlflow.user"] = getpass.getuser()
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
            found["mlflow.source.git.commit"] = found["git.revision"].removesuffix("-dirty")
    return found
