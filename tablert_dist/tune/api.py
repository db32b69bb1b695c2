"""`search`: a search in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tablert_dist.config import load_config
from tablert_dist.errors import InputError
from tablert_dist.runs.store import new_name
from tablert_dist.tune import search as searching
from tablert_dist.tune.progress import progress_callback
from tablert_dist.tune.search import SearchResult
from tablert_dist.tune.space import load_space


def search(
    data: str | Path | None = None,
    config: str | Path = "own",
    space: str | Path = "small",
    *,
    overrides: Mapping[str, Any] | None = None,
    name: str | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> SearchResult:
    """Try the points of a space and find the one with the best dev RE+, as `tablert tune` does; nothing is exported.

    data, config, overrides, say: as for `fit`. space: a shipped space (`small`, `paper`, `wide`, `smoke`) or a TOML file.
    Raises InputError, before anything is written, where configuration, space, data or cluster do not allow it.

    Example:
        >>> from tablert_dist import load, search
        >>> result = search("data", space="small")
        >>> result.best.point
        {'model.cnn.kernel_size': 3, 'model.cnn.hidden': [256]}
        >>> predictor = load(result.checkpoint)
    """
    if resume and name is None:
        raise InputError("resume=True needs the name of the search: search(..., name='NAME', resume=True)")
    given = dict(overrides or {})
    if data is not None:
        given["data.path"] = str(data)
    settings = load_config(config, given)
    found, _, _ = searching.search(
        settings,
        load_space(str(space), settings),
        name or new_name("tune"),
        resume,
        say,
        progress_callback(settings.train.epochs),
    )
    found.run.close()
    return found
