"""Search spaces as data, and their typed loader."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tablert_dist.config import Config, current_keys, flatten, with_overrides
from tablert_dist.config.toml_files import read_toml, shipped
from tablert_dist.errors import InputError
from tablert_dist.tune.ranges import Range, read_range


@dataclass(frozen=True)
class Space:
    """Configuration keys, each with its listed values (`[grid]`) or its range (`[range]`)."""

    name: str
    grid: Mapping[str, tuple[Any, ...]]
    ranges: Mapping[str, Range] = field(default_factory=dict)

    def points(self) -> list[dict[str, Any]]:
        """Every combination of the listed values, the last key varying fastest.

        Raises InputError where the space has ranges: a grid has no points between two values.
        """
        if self.ranges:
            raise InputError(
                f"space {self.name}: {next(iter(self.ranges))} is a range, which a grid cannot go through; "
                f"search it with --search random or --search optuna"
            )
        return self._combinations()

    def draw(self, count: int, seed: int) -> list[dict[str, Any]]:
        """`count` different points drawn from the seed, or all that there are."""
        source, found = random.Random(seed), []
        for _ in range(100 * count):
            point = {key: source.choice(values) for key, values in self.grid.items()}
            point |= {key: limits.draw(source) for key, limits in self.ranges.items()}
            if point not in found:
                found.append(point)
            if len(found) == count:
                break
        return found

    def tree(self) -> dict[str, Any]:
        """As JSON holds it: what a resumed search compares."""
        grid = {key: [list(v) if isinstance(v, tuple) else v for v in values] for key, values in self.grid.items()}
        return {"name": self.name, "grid": grid, "range": {key: asdict(r) for key, r in self.ranges.items()}}

    @classmethod
    def of_tree(cls, tree: Mapping[str, Any]) -> Space:
        """Return the space of what `tree` returned."""
        grid, ranges = (current_keys(tree[part], "the run's record") for part in ("grid", "range"))
        return cls(
            str(tree["name"]), {k: tuple(v) for k, v in grid.items()}, {k: Range(**v) for k, v in ranges.items()}
        )

    def check(self, config: Config) -> None:
        """Try every listed combination and the ends of every range on `config`. Raises InputError."""
        for point in self._combinations():
            with_overrides(config, point)
        for key, limits in self.ranges.items():
            for value in limits.probes():
                with_overrides(config, {key: value})

    def _combinations(self) -> list[dict[str, Any]]:
        keys = list(self.grid)
        return [dict(zip(keys, values, strict=True)) for values in itertools.product(*self.grid.values())]


def spaces() -> list[str]:
    """Names of the shipped spaces."""
    return shipped("tune_spaces")


def load_space(name: str, config: Config) -> Space:
    """Read a shipped space by its name or a TOML file by its path, and try it on `config`.

    Raises InputError for an unknown space, key or value.
    """
    tree = read_toml(name, "tune_spaces", "space")
    grid, ranges = tree.get("grid", {}), tree.get("range", {})
    tables = isinstance(grid, dict) and isinstance(ranges, dict)
    if not set(tree) <= {"grid", "range"} or not tables or not (grid or ranges):
        raise InputError(
            f'space {name}: expected one table [grid] with lines like "model.cnn.kernel_size" = [3, 5], or beside it a '
            f'table [range] with lines like "optim.lr" = {{ low = 1e-4, high = 1e-2, log = true }}'
        )
    grid, ranges = (current_keys(part, f"space {name}") for part in (grid, ranges))
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise InputError(f"space {name}: {key} must list at least one value")
        if key in ranges:
            raise InputError(f"space {name}: {key} is in [grid] and in [range]; leave one of them out")
    present = flatten(config)
    space = Space(
        Path(name).stem,
        {key: tuple(values) for key, values in grid.items()},
        {key: read_range(f"space {name}: {key}", r, isinstance(present.get(key), float)) for key, r in ranges.items()},
    )
    space.check(config)
    return space
