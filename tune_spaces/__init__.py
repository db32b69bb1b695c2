"""Search spaces as data, and their typed loader."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tablert_dist.config import Config, with_overrides
from tablert_dist.config.toml_files import read_toml, shipped
from tablert_dist.errors import InputError


@dataclass(frozen=True)
class Space:
    """A grid over configuration keys: every combination of the listed values."""

    name: str
    grid: Mapping[str, tuple[Any, ...]]

    def points(self) -> list[dict[str, Any]]:
        """The overrides of each point, the last key varying fastest."""
        keys = list(self.grid)
        return [dict(zip(keys, values, strict=True)) for values in itertools.product(*self.grid.values())]


def spaces() -> list[str]:
    """Names of the shipped spaces."""
    return shipped("tune_spaces")


def load_space(name: str, config: Config) -> Space:
    """Read a shipped space by its name or a TOML file by its path, and try every point on `config`.

    Raises InputError for an unknown space, key or value.
    """
    tree = read_toml(name, "tune_spaces", "space")
    grid = tree.get("grid")
    if set(tree) != {"grid"} or not isinstance(grid, dict) or not grid:
        raise InputError(f'space {name}: expected one table [grid] with lines like "model.kernel_size" = [3, 5]')
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise InputError(f"space {name}: {key} must list at least one value")
    space = Space(Path(name).stem, {key: tuple(values) for key, values in grid.items()})
    for point in space.points():
        with_overrides(config, point)
    return space
