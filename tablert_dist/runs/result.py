"""What a finished run left: its scores, and the checkpoint that is its result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tablert_dist.config import Config
from tablert_dist.errors import InputError
from tablert_dist.runs.store import RunStore
from tablert_dist.scoring import LEVELS, TITLES
from tablert_dist.storage.mirror import RESULT


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

    @property
    def checkpoint(self) -> Path:
        """The folder of the best seed's checkpoint: `load(result.checkpoint)` predicts with it."""
        return Path(self.best["checkpoint"])

    @property
    def scores(self) -> Mapping[str, Mapping[str, float]]:
        """Mean micro F1 over the seeds in 0–1, by split and level: `scores["test"]["re_plus"]`."""
        means: dict[str, dict[str, float]] = {}
        for split in self.results[0]["scores"]:
            found = {level: [f1_of(result, split, level) for result in self.results] for level in LEVELS}
            means[split] = {k: float(np.mean(f1)) for k, f1 in found.items() if None not in f1}  # type: ignore[arg-type]
        return means

    def __repr__(self) -> str:
        return f"<FitResult {self.name}: {'; '.join(self.summary()) or 'no scores'}>"

    def summary(self) -> list[str]:
        """A line for each split: mean ± standard deviation of the micro F1 in percent, then the protocol."""
        lines = []
        for split in self.results[0]["scores"]:
            parts = []
            for level in LEVELS:
                if f1_of(self.results[0], split, level) is None:
                    continue
                values = [100 * (f1_of(r, split, level) or 0.0) for r in self.results]
                spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
                parts.append(f"{TITLES[level]} {np.mean(values):.1f}{spread}")
            lines.append(f"{split}: {'  '.join(parts)}")
        return lines


def f1_of(result: Mapping[str, Any], split: str, level: str) -> float | None:
    """Micro F1 in 0–1 of a result, or None where the split, or the level, was not scored."""
    scored = result["scores"].get(split, {}).get("scores", {}).get(level)
    return float(scored["micro"]["f1"]) if scored else None


def checkpoint_of(config: Config, name: str) -> Path:
    """The checkpoint that a finished run ended with, copied here where runs are kept at a URL.

    Raises InputError for a run that is not there or not finished, and for a study, which keeps no one model.
    """
    run = RunStore.find(config, name)
    if run.kind == "study":
        raise InputError(
            f"'{name}' is a study, which has many models: name the checkpoint of one cell (kept with --keep-weights)"
        )
    if run.kind == "tune":
        if not run.folder.mirror.fetch(RESULT):
            raise InputError(f"the search '{name}' is not finished; go on with it by tablert tune --resume {name}")
        found = json.loads((run.path / RESULT).read_text(encoding="utf-8"))["checkpoint"]
    else:
        if run.record["status"] != "finished":
            raise InputError(f"the training '{name}' is not finished; go on with it by tablert train --resume {name}")
        found = FitResult(name, run.path, run.record["results"]).best["checkpoint"]
    # The path is that of the machine that wrote it; the folder may have another name by now.
    parts = Path(found).parts
    *inner, checkpoint = parts[len(parts) - parts[::-1].index(run.record["name"]) :]
    part = run.folder
    for folder in inner:
        part = part.child(folder)
    part.mirror.pull_checkpoint(checkpoint)
    return part.path / checkpoint
