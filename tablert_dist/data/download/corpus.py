"""A whole corpus: its files from the first source that gives them, and what that source lacks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tablert_dist.data.download.fetch import PATIENT, Patience, Progress, fetch
from tablert_dist.data.download.sources import DataSet, Source
from tablert_dist.data.download.unpack import unpack
from tablert_dist.errors import InputError, RunError
from tablert_dist.storage.atomic import sha256

Say = Callable[[str], None]
Bar = Callable[[str], Progress]
"""Makes the progress of a file of that name."""


@dataclass(frozen=True)
class Fetched:
    """Where the files are, from which source, and which files of the data set it does not have."""

    folder: Path
    source: Source
    files: tuple[str, ...]
    missing: tuple[str, ...]


def download(
    what: DataSet,
    folder: Path,
    source: str | None = None,
    patience: Patience = PATIENT,
    say: Say = lambda line: None,
    bar: Bar = lambda name: lambda done, total: None,
) -> Fetched:
    """Fetch the data set into `folder`. Files that are there with the right hash are not fetched again.

    `source` is another address of the first source, or of the archive where it ends so. Raises InputError where a file
    of another content is in the way, RunError where no source gives the files.
    """
    reasons = []
    # The first folder that we make ourselves: where nothing comes, it goes again.
    ours = next((path for path in (*reversed(folder.absolute().parents), folder.absolute()) if not path.exists()), None)
    for place in _places(what, source):
        if not place.paths:
            reasons.append(f"{place.name}: {place.lacks}")
            continue
        _refuse_others(what, place, folder)
        say(f"{what.name} from {place.name}, {place.url}")
        try:
            (_from_archive if place.archive else _from_server)(what, place, folder, patience, say, bar)
        except RunError as error:
            reasons.append(f"{place.name}: {error}")
            say(f"{place.name} did not give it: {error}")
            continue
        missing = tuple(sorted(set(what.files) - set(place.paths)))
        return Fetched(folder, place, tuple(place.paths), missing)
    if ours is not None:
        _drop_empty(ours)
    raise RunError(
        f"{what.name} could not be fetched; run the command again to go on where it stopped. " + "; ".join(reasons)
    )


def _drop_empty(folder: Path) -> None:
    """Remove a folder that holds no file; one with a part of a file is gone on with."""
    for path in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        _remove(path)
    _remove(folder)


def _remove(folder: Path) -> None:
    with suppress(OSError):  # not empty, or never made
        folder.rmdir()


def _places(what: DataSet, source: str | None) -> tuple[Source, ...]:
    if source is None:
        return what.sources
    packed = source.split("?")[0].endswith((".tar", ".tar.gz", ".tgz"))
    like = next((s for s in what.sources if bool(s.archive) == packed), None)
    if like is None:
        raise InputError(f"--source {source}: {what.name} is not read from an archive")
    return (replace(like, name="--source", url=source if packed else source.rstrip("/") + "/"),)


def _refuse_others(what: DataSet, place: Source, folder: Path) -> None:
    for name in place.paths:
        path = folder / name
        if path.is_dir() or (path.exists() and sha256(path) != what.files[name]):
            raise InputError(f"{path} exists and is another file: move it away, or choose another folder with --out")


def _from_server(what: DataSet, place: Source, folder: Path, patience: Patience, say: Say, bar: Bar) -> None:
    for name, path in place.paths.items():
        if (folder / name).exists():
            say(f"{name}: already there")
            continue
        fetch(place.url + path, folder / name, what.files[name], what.most_bytes, patience, bar(name))
        say(f"{name}: {(folder / name).stat().st_size} bytes, sha256 as expected")


def _from_archive(what: DataSet, place: Source, folder: Path, patience: Patience, say: Say, bar: Bar) -> None:
    assert place.archive
    if all((folder / name).exists() for name in place.paths):
        say("all files are already there")
        return
    archive = folder / place.url.split("?")[0].rpartition("/")[2]
    if not (archive.exists() and sha256(archive) == place.archive):
        fetch(place.url, archive, place.archive, place.most_bytes, patience, bar(archive.name))
    hashes = {name: what.files[name] for name in place.paths}
    unpack(archive, folder, place.paths, hashes, what.most_bytes)
    archive.unlink()
    say(f"{', '.join(place.paths)}: unpacked, sha256 as expected; {archive.name} is deleted")
