"""A few known files out of a tar that may be hostile: nothing else is ever written.

Each member passes Python's `data` filter, which refuses paths and links that lead outside; links and devices are never
unpacked; the number and the size of all members are limited, for a small archive can hold a great deal of nothing.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from tablert_dist.errors import InputError, RunError
from tablert_dist.storage.atomic import sha256

CHUNK = 1 << 20
MOST_MEMBERS = 20_000
MOST_BYTES = 8_000_000_000
"""Of all members together, unpacked."""


def unpack(
    archive: Path,
    folder: Path,
    wanted: Mapping[str, str],
    hashes: Mapping[str, str],
    most_file: int,
    most_bytes: int = MOST_BYTES,
    most_members: int = MOST_MEMBERS,
) -> None:
    """Write the members of `archive` whose names end as `wanted[name]` to `folder / name`, each with its hash.

    Raises RunError where the archive is broken or hostile, lacks one, or a hash is another: then no file is new.
    """
    written: dict[str, Path] = {}
    try:
        with tarfile.open(archive, "r|*") as tar:
            size = count = 0
            for member in tar:
                count, size = count + 1, size + member.size
                _check(archive, member, folder, count > most_members, size > most_bytes)
                name = next((n for n, end in wanted.items() if _is_at(member.name, end)), None)
                if name is not None and name not in written:
                    written[name] = (folder / name).with_name(f".{Path(name).name}.part")
                    _copy(archive, tar, member, written[name], most_file)
                    if len(written) == len(wanted):
                        break
        for name, part in written.items():
            found = sha256(part)
            if found != hashes[name]:
                raise RunError(f"{archive.name}: {wanted[name]} has the sha256 {found}, expected {hashes[name]}")
        if missing := [end for name, end in wanted.items() if name not in written]:
            raise RunError(f"{archive.name}: has no member {', '.join(missing)}")
        for name, part in written.items():
            part.replace(folder / name)
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        raise RunError(f"{archive.name}: not a whole tar: {error}") from None
    except OSError as error:
        raise InputError(f"{archive.name}: cannot be unpacked to {folder}: {error.strerror or error}") from None
    finally:
        for part in written.values():
            part.unlink(missing_ok=True)


def _check(archive: Path, member: tarfile.TarInfo, folder: Path, many: bool, large: bool) -> None:
    if many or large:
        raise RunError(f"{archive.name}: more than {'members' if many else 'bytes'} than such an archive may have")
    if member.name.startswith(("/", "\\")):
        raise RunError(f"{archive.name}: the member {member.name!r} has an absolute path")
    try:
        tarfile.data_filter(member, str(folder))
    except tarfile.FilterError as error:
        raise RunError(f"{archive.name}: a member would be written elsewhere: {error}") from None


def _is_at(name: str, end: str) -> bool:
    return name == end or name.endswith("/" + end)


def _copy(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, part: Path, most: int) -> None:
    """Copy a plain file's bytes to `part`; neither its mode nor its owner."""
    if not member.isreg():
        raise RunError(f"{archive.name}: {member.name} is no plain file")
    if member.size > most:
        raise RunError(f"{archive.name}: {member.name} has {member.size} bytes, more than the {most} it may have")
    source = tar.extractfile(member)
    assert source is not None
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("wb") as file:
        while piece := source.read(CHUNK):
            file.write(piece)
