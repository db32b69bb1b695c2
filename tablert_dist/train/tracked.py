"""How a training appears in MLflow: parameters once, versions and data as tags, and how it ended. No torch."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tablert_dist import __version__
from tablert_dist.config import Config, public_config
from tablert_dist.runs.job import Job
from tablert_dist.tracking import Tracker
from tablert_dist.waiting import waiting

if TYPE_CHECKING:
    from tablert_dist.data import Corpus


def open_tracker(job: Job, corpus: Corpus) -> Tracker:
    """Begin the training's journal, or go on with it."""
    tags = {"data.name": corpus.name, "data.hash": corpus.hash, **provenance()}
    return job.folder.tracker(job.tracked, {**flat_public(job.config), "seed": job.seed}, tags)


@contextmanager
def tracked(job: Job, corpus: Corpus) -> Iterator[None]:
    """Begin the training's journal, leave it to the workers, and write how they ended."""
    # Rank 0 continues the journal, perhaps on another node, so no other process may have it open meanwhile.
    job.folder.journal_mirror.pull_files()
    open_tracker(job, corpus).close(None, timeout=0.5)
    job.folder.journal_mirror.push_files()
    status: Literal["FINISHED", "FAILED", "KILLED"] = "KILLED"
    try:
        yield
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        job.folder.journal_mirror.pull_files()
        with waiting("sending what is left of the run to MLflow"):
            open_tracker(job, corpus).close(status)
        job.folder.journal_mirror.push_files()


def flat_public(config: Config) -> dict[str, Any]:
    """The configuration without paths and addresses, by dotted key; of the heads' sections that of the head in use."""
    tree = public_config(config)
    model = tree["model"]
    own = {f"model.{config.model.head}.{key}": value for key, value in model[config.model.head].items()}
    model = {key: value for key, value in model.items() if not isinstance(value, dict)}
    return {
        f"{section}.{key}": value for section, part in {**tree, "model": model}.items() for key, value in part.items()
    } | own


@cache
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
