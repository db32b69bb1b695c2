"""`fit`: a training in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tablert_dist.config import load_config
from tablert_dist.errors import InputError
from tablert_dist.runs.result import FitResult
from tablert_dist.train import fit as training


def fit(
    data: str | Path | None = None,
    config: str | Path = "own",
    *,
    overrides: Mapping[str, Any] | None = None,
    name: str | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> FitResult:
    """Train on annotated sentences, as `tablert train` does.

    data: a folder with `*train.json`, `*dev.json`, `*test.json` (docs: data formats); None = the configuration's own.
    config: a preset or a TOML file. overrides: keys as after `--set`, such as `{"train.epochs": 5}`. name: of the run;
    None = made from date and time. resume: go on with the run of that name. say: receives each line of progress.
    Raises InputError, before anything is written, where the configuration, the data or the encoder do not allow it.

    Example:
        >>> from tablert_dist import fit, load
        >>> result = fit("data", overrides={"train.epochs": 20})
        >>> result.scores["test"]["re_plus"]
        0.61
        >>> predictor = load(result.checkpoint)
    """
    given = dict(overrides or {})
    if data is not None:
        given["data.path"] = str(data)
    if resume and name is None:
        raise InputError("resume=True needs the name of the run: fit(..., name='NAME', resume=True)")
    return training.fit(load_config(config, given), name, resume, say=say)
