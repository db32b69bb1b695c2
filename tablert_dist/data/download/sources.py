"""Which corpora can be fetched: the facts of `sources.toml`, typed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from tablert_dist.errors import InputError, nearest

ACE05 = (
    "ACE05 (LDC2006T06) cannot be downloaded: it is under the Linguistic Data Consortium's licence. With a licence of your "
    "own, get it from catalog.ldc.upenn.edu/LDC2006T06, run the ACE05 preprocessing of DyGIE++ (dwadden/dygiepp, "
    "scripts/data/ace05) over it, and give the folder with its train.json, dev.json and test.json as --data"
)


@dataclass(frozen=True)
class Source:
    """A place with some or all of a data set's files.

    `paths` is where it has each, below `url`; with `archive`, the sha256 of a tar at `url`, how a member's name ends.
    `lacks` says what it does not have and why.
    """

    name: str
    url: str
    paths: Mapping[str, str]
    archive: str | None = None
    most_bytes: int = 0
    lacks: str = ""


@dataclass(frozen=True)
class DataSet:
    """A corpus: the sha256 of each of its files by their names here, and the sources in the order they are tried."""

    name: str
    title: str
    licence: str
    files: Mapping[str, str]
    sources: tuple[Source, ...]
    most_bytes: int = field(default=20_000_000)
    """Of one file; a longer answer is not read."""


def data_sets() -> dict[str, DataSet]:
    """All of them by name."""
    text = files("tablert_dist.data.download").joinpath("sources.toml").read_text(encoding="utf-8")
    return {name: _data_set(name, tree) for name, tree in tomllib.loads(text).items()}


def data_set(name: str) -> DataSet:
    """The one of that name. Raises InputError for ACE05, saying how it is made, and for an unknown name."""
    known = data_sets()
    if name.casefold() in {"ace05", "ace2005", "ace"}:
        raise InputError(ACE05)
    if name not in known:
        raise InputError(f"no data set '{name}'; there are {', '.join(known)}{nearest(name, known)}")
    return known[name]


def _data_set(name: str, tree: Mapping[str, Any]) -> DataSet:
    sources = []
    for source in tree["sources"]:
        paths = source.get("paths", {file: file.rpartition("/")[2] for file in tree["files"]})
        sources.append(Source(**{**source, "paths": paths}))
    return DataSet(name, tree["title"], tree["licence"], tree["files"], tuple(sources), tree["most_bytes"])
