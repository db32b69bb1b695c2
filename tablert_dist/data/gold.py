"""Annotated sentences to score on: a file, or one split of a folder, in any format that is read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tablert_dist.config import DataConfig, ModelConfig
from tablert_dist.data import formats
from tablert_dist.data.formats import types_file
from tablert_dist.data.splits import notes_of, read_file, split_files
from tablert_dist.errors import InputError
from tablert_dist.schema import Schema, Sentence
from tablert_dist.storage.paths import locate

log = logging.getLogger(__name__)
Say = Callable[[str], None]
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Source:
    """Where gold sentences are read from."""

    path: Path
    """A file, or a folder in a format of folders."""
    split: str | None = None
    """The split of a folder of splits."""

    @property
    def title(self) -> str:
        """The file's name; of a folder of splits with the split, which the name need not say."""
        return f"{self.path.name} (the {self.split} split)" if self.split else self.path.name

    @property
    def types(self) -> Path | None:
        """Its types file, as `types_file.beside`."""
        return types_file.beside(self.path)


def find_gold(data: str, split: str | None = None, preferred: str = "test") -> Source:
    """Return the file that `--data` names; of a folder of splits the one asked for, else `preferred`, else the only one.

    Raises InputError for a path that does not exist, a split that is not there, or several of which none was chosen.
    """
    path = locate(data, "--data")
    found = _splits(path) if path.is_dir() else {}
    if not found:
        if split is not None:
            what = "a folder without splits" if path.is_dir() else "one file, all of which is read"
            raise InputError(f"--split {split}: {data} is {what}; leave --split out")
        return Source(path)
    there = ", ".join(name for name in SPLITS if name in found)
    if split is not None and split not in found:
        raise InputError(f"--split {split}: {data} has no such split, only {there}")
    chosen = split or (preferred if preferred in found else next(iter(found)) if len(found) == 1 else None)
    if chosen is None:
        raise InputError(f"{data} has no {preferred} split but {there}: give one of these files itself")
    return Source(found[chosen], chosen)


def read_gold(
    source: Source, schema: Schema, data: DataConfig, model: ModelConfig | None = None, say: Say | None = None
) -> list[Sentence]:
    """Return the sentences under a known schema, after the overlap policy. Raises InputError as `load_corpus`.

    What is left out or changed in reading is said line by line.
    """
    notes = notes_of(data)
    found = read_file(source.path, schema, data.overlap, data.format, model, notes)
    for line in notes.lines():
        (say or log.warning)(f"read: {line}")
    return found


def schema_of(source: Source, *others: Sequence[Sentence], data: DataConfig | None = None) -> Schema:
    """Return the types of the types file beside the gold, else of the gold itself, and those that `others` add.

    A type that only `others` have counts as all others do: what they say of it is wrong.
    """
    base = types_file.read(source.types) if source.types else _types_in(source, data or DataConfig())
    entities = {e.type for sentences in others for s in sentences for e in s.entities}
    relations = {r.type for sentences in others for s in sentences for r in s.relations}
    return Schema(
        (*base.entity_types, *sorted(entities - {*base.entity_types})),
        (*base.relation_types, *sorted(relations - {*base.relation_types})),
        base.symmetric,
    )


def _types_in(source: Source, data: DataConfig) -> Schema:
    return Schema.infer(formats.read(source.path, data.format, notes_of(data)))


def _splits(folder: Path) -> Mapping[str, Path]:
    """Files or folders by split."""
    found = split_files(folder)
    return {name: found[name] for name in SPLITS if name in found}
