"""The data sets of `tablert study main` as parts: a folder, or each fold of one."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tablert_dist.config import Config, with_overrides
from tablert_dist.config.toml_files import read_toml
from tablert_dist.data import Corpus, overlap
from tablert_dist.data.ade_folds import Fold, load_folds, rebuild
from tablert_dist.errors import InputError
from tablert_dist.schema import Sentence
from tablert_dist.storage.paths import locate
from tablert_dist.study.cells import Cell
from tablert_dist.study.run import StudyPart
from tablert_dist.train.fit import absolute_data, check

FULL, IDS = "ade_full.json", "ade_folds.json"


def parts_of(
    config: Config, names: Sequence[str], folds: Sequence[int], cells: Sequence[Cell], say: Callable[[str], None]
) -> list[StudyPart]:
    """A part for each data set, or for each of its `folds` where it comes in folds.

    Raises InputError for a data set that is not there or cannot be read, and for a fold that it does not have.
    """
    if config.data.path is None:
        raise InputError("no data: say with --data DIR which folder the data sets' folders are in")
    root = locate(config.data.path, "data folder")
    parts: list[StudyPart] = []
    for name in names:
        if not (root / name).is_dir():
            there = ", ".join(sorted(p.name for p in root.iterdir() if p.is_dir())) or "none"
            raise InputError(f"--datasets {name}: {root} has no folder {name}; it has {there}")
        of_set = with_overrides(config, settings(name))
        split = _folds(root / name)
        if split is None:
            of_set = absolute_data(with_overrides(of_set, {"data.path": str(_inner(root / name))}))
            parts.append(StudyPart(name, of_set, cells, check(of_set, say)))
            continue
        missing = set(folds) - {fold.number for fold in split}
        if missing:
            raise InputError(f"--folds: {name} has the folds 0 to {len(split) - 1}, not {min(missing)}")
        chosen = [fold for fold in split if fold.number in folds]
        corpora = [_corpus(name, fold, of_set.data.overlap) for fold in chosen]
        kept, there_were = (
            sum(len(s.entities) for sentences in group for s in sentences)
            for group in ([c.splits["test"] for c in corpora], [fold.test for fold in chosen])
        )
        say(
            f"{name}: {len(chosen)} of {len(split)} folds; {of_set.data.overlap} keeps {kept} of {there_were} test entities"
        )
        of_set = absolute_data(of_set)
        parts += [StudyPart(f"{name}/fold-{f.number}", of_set, cells, c) for f, c in zip(chosen, corpora, strict=True)]
    return parts


def settings(name: str) -> dict[str, Any]:
    """What a data set changes in the study's configuration."""
    return dict(read_toml("datasets", "tablert_dist.study", "data sets").get(name, {}))


def _inner(folder: Path) -> Path:
    """The folder with the files: itself, or its `spert` where it keeps several formats."""
    return folder / "spert" if not list(folder.glob("*train*")) and (folder / "spert").is_dir() else folder


def _folds(folder: Path) -> list[Fold] | None:
    """The folds in a folder, made of the one file and the lists of ids where only these are there; None: no folds."""
    if list(folder.glob("ade_split_*_train.json")) or list(folder.glob("fold-*/train.json")):
        return load_folds(folder)
    if not ((folder / FULL).is_file() and (folder / IDS).is_file()):
        return None
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in rebuild(folder / FULL, folder / IDS).items():
            Path(scratch, name).write_bytes(content)
        for types in folder.glob("*types.json"):
            Path(scratch, types.name).write_bytes(types.read_bytes())
        return load_folds(Path(scratch))


def _corpus(name: str, fold: Fold, policy: str) -> Corpus:
    splits, hashes = {}, {}
    for split, sentences in (("train", fold.train), ("test", fold.test)):
        where = f"{name}, fold {fold.number}, {split}"
        splits[split] = tuple(overlap.apply(s, policy, f"{where}: record {i}") for i, s in enumerate(sentences))
        hashes[split] = _digest(sentences)
    return Corpus(f"{name} fold {fold.number}", fold.schema, splits, hashes, ())


def _digest(sentences: Sequence[Sentence]) -> str:
    """Of the content as it was read."""
    digest = hashlib.sha256()
    for sentence in sentences:
        digest.update(repr((sentence.words, sentence.entities, sentence.relations)).encode())
    return digest.hexdigest()
