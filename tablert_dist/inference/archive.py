"""A bundle as one .zip: written whole, and unpacked only after its directory and its manifest were looked at."""

from __future__ import annotations

import json
import lzma
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tablert_dist.errors import InputError
from tablert_dist.inference.bundle import MANIFEST, open_bundle, read_manifest
from tablert_dist.storage.atomic import nearest_folder, whole_file, writing
from tablert_dist.storage.records import read_object

MOST_FILES = 1_000
"""Entries of an archive: a bundle has about ten."""
MOST_BYTES = 32_000_000_000
"""Unpacked: the graph of the largest encoder that anybody fine-tunes here (10 billion weights in fp16) has 20 GB."""
MOST_RATIO = 100
"""Unpacked bytes of an entry for each packed one. Weights pack to 0.9 of their size and a tokenizer to 0.1; zeros, of which
bombs are made, to 0.001."""
SMALL_ENTRY = 1_000_000
"""Bytes below which an entry may pack as well as it likes."""
MOST_MANIFEST = 4_000_000
"""Bytes of a manifest: it is the one entry that is read before anything is checked against it."""
BLOCK = 1 << 20


def pack(folder: Path, out: Path) -> Path:
    """A bundle as one .zip, written whole: its manifest and what that lists.

    Raises InputError where the folder is no sound bundle or `out` exists.
    """
    open_bundle(folder)
    listed = read_manifest(read_object(folder / MANIFEST, f"bundle {folder}"), f"bundle {folder}").files
    if out.exists():
        raise InputError(f"{out} exists; give a file that does not")
    with whole_file(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (MANIFEST, *sorted(listed)):
            archive.write(folder / name, name)
    return out


def unpack(archive: Path, out: Path) -> Path:
    """Write the bundle of a .zip to the folder `out`, which is made.

    Raises InputError, before anything is written, for what is no bundle: too many files or bytes, names that leave the
    folder, links, names twice, files that its manifest does not list. The files' hashes are checked on loading.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            items = [item for item in packed.infolist() if not item.is_dir()]
            _check_names(archive, packed.infolist())
            _check_sizes(archive, items)
            _check_listed(archive, packed, items)
            _check_room(archive, items, out)
            with writing(out):
                for item in items:
                    _extract(archive, packed, item, out)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        shutil.rmtree(out, ignore_errors=True)
        raise InputError(f"{archive}: not a zip file, or a damaged one: {error}") from None
    except (NotImplementedError, RuntimeError) as error:
        shutil.rmtree(out, ignore_errors=True)
        raise InputError(
            f"{archive}: it cannot be unpacked: {str(error).splitlines()[0]}; pack it with --zip"
        ) from None
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    return out


def _check_names(archive: Path, items: Sequence[zipfile.ZipInfo]) -> None:
    if len(items) > MOST_FILES:
        raise InputError(f"{archive}: it has {len(items)} entries; a bundle has no more than {MOST_FILES}")
    seen: set[str] = set()
    for item in items:
        name = PurePosixPath(item.filename)
        # The upper bits are the Unix mode: a link would be followed when it is read.
        is_link = (item.external_attr >> 28) == 0xA
        if name.is_absolute() or not name.parts or ".." in name.parts or "\\" in item.filename or is_link:
            raise InputError(f"{archive}: it holds {item.filename}, which lies outside the bundle")
        # Two names that differ in case are one file on some disks.
        plain = name.as_posix().casefold()
        if plain in seen:
            raise InputError(f"{archive}: it holds {item.filename} twice")
        seen.add(plain)


def _check_sizes(archive: Path, items: Sequence[zipfile.ZipInfo]) -> None:
    total, packed = sum(i.file_size for i in items), sum(i.compress_size for i in items)
    size = archive.stat().st_size
    if total > MOST_BYTES:
        raise InputError(f"{archive}: unpacked it would have {total} bytes; a bundle has no more than {MOST_BYTES}")
    if packed > size:
        raise InputError(f"{archive}: its entries claim {packed} packed bytes, and the file has {size}: they overlap")
    for item in items:
        if item.file_size > max(SMALL_ENTRY, MOST_RATIO * item.compress_size):
            raise InputError(
                f"{archive}: {item.filename} would grow from {item.compress_size} to {item.file_size} bytes, more than "
                f"{MOST_RATIO} times; nothing in a bundle packs so well"
            )


def _check_listed(archive: Path, packed: zipfile.ZipFile, items: Sequence[zipfile.ZipInfo]) -> None:
    """Only what the manifest lists, and all of that."""
    names = {item.filename: item for item in items}
    if MANIFEST not in names:
        raise InputError(f"{archive}: no bundle: {MANIFEST} is missing")
    if names[MANIFEST].file_size > MOST_MANIFEST:
        raise InputError(f"{archive}: {MANIFEST} has {names[MANIFEST].file_size} bytes, more than {MOST_MANIFEST}")
    try:
        tree = json.loads(packed.read(MANIFEST))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{archive}: {MANIFEST} is damaged ({type(error).__name__})") from None
    if not isinstance(tree, dict):
        raise InputError(f"{archive}: {MANIFEST} is damaged (a JSON object is expected)")
    files = read_manifest(tree, str(archive)).files
    for name in names:
        if name != MANIFEST and name not in files:
            raise InputError(f"{archive}: it holds {name}, which its {MANIFEST} does not list")
    for name in files:
        if name not in names:
            raise InputError(f"{archive}: {name} is missing, which its {MANIFEST} lists")


def _check_room(archive: Path, items: Sequence[zipfile.ZipInfo], out: Path) -> None:
    total = sum(item.file_size for item in items)
    there = nearest_folder(out)
    free = shutil.disk_usage(there).free
    if total > free:
        raise InputError(
            f"{archive}: unpacked it has {total} bytes, and {there} has room for {free}; set TMPDIR elsewhere"
        )


def _extract(archive: Path, packed: zipfile.ZipFile, item: zipfile.ZipInfo, out: Path) -> None:
    """Write one entry, never more of it than the directory says."""
    target = out / item.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    left = item.file_size
    with packed.open(item) as source, target.open("xb") as file:
        while block := source.read(BLOCK):
            left -= len(block)
            if left < 0:
                raise InputError(
                    f"{archive}: {item.filename} is longer than the {item.file_size} bytes of its directory"
                )
            file.write(block)
    if left:
        raise InputError(f"{archive}: {item.filename} is {left} bytes shorter than its directory says")
