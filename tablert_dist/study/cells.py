"""What a study trains: systems, encoder layers, frozen or updated, seeds, each combination one cell."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tablert_dist.config import Config, with_overrides
from tablert_dist.config.toml_files import read_toml
from tablert_dist.errors import InputError, nearest


@dataclass(frozen=True)
class Cell:
    """One training of a study. `layer` None: the encoder's last."""

    system: str
    layer: int | None
    frozen: bool
    seed: int

    def point(self, epochs: int | None) -> dict[str, Any]:
        """The configuration's keys that it changes; `epochs` in the place of every system's own."""
        changes = {key: value for key, value in systems()[self.system].items() if key != "title"}
        changes |= {"model.layer": self.layer, "model.frozen": self.frozen, "train.seeds": [self.seed]}
        return changes | ({"train.epochs": epochs} if epochs else {})

    def setting(self) -> str:
        """For people, whatever the seed."""
        layer = "" if self.layer is None else f" layer {self.layer}"
        return f"{title(self.system)}{layer} {'frozen' if self.frozen else 'updated'}"

    def title(self) -> str:
        """For people."""
        return f"{self.setting()} seed {self.seed}"


@cache
def systems() -> dict[str, dict[str, Any]]:
    """The shipped systems by name."""
    return read_toml("systems", "tablert_dist.study", "systems")


def use_variants(file: str) -> None:
    """Let the systems of a TOML file (`plus`, or a path) be known beside the shipped ones.

    Raises InputError where the file is none, or a system has no title.
    """
    for name, keys in read_toml(file, "tablert_dist.study", "variants").items():
        if not isinstance(keys, dict) or "title" not in keys:
            raise InputError(
                f'variants {file}: {name}: expected a table with title = "…" and keys such as "model.focal" = 1'
            )
        systems()[name] = keys


def title(system: str) -> str:
    """A system's name in print."""
    return str(systems()[system]["title"])


def grid(names: Sequence[str], layers: Sequence[int | None], ways: Sequence[bool], seeds: Sequence[int]) -> list[Cell]:
    """Every combination. Raises InputError for a system that is not known."""
    for name in names:
        if name not in systems():
            raise InputError(f"--systems {name}: there are {', '.join(systems())}{nearest(name, list(systems()))}")
    # The quick cells first: what is wrong with a configuration shows soon.
    return [
        Cell(system, layer, frozen, seed)
        for frozen, layer, system, seed in itertools.product(sorted(ways, reverse=True), layers, names, seeds)
    ]


def points(cells: Sequence[Cell], config: Config, epochs: int | None) -> list[dict[str, Any]]:
    """The cells as points of a search, each tried on `config`. Raises InputError where one does not fit it."""
    found = [cell.point(epochs) for cell in cells]
    for point in found:
        with_overrides(config, point)
    return found
