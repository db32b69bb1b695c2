"""A folder at a URL (S3, GCS, HDFS, …), through pyarrow, or fsspec where pyarrow has no such file system."""

from __future__ import annotations

import posixpath
from functools import cached_property
from pathlib import Path
from typing import Any

from tablert_dist.errors import InputError
from tablert_dist.storage.secrets import no_login, redact


def is_url(place: str) -> bool:
    """Whether `place` is a URL of something else than this machine's files."""
    return "://" in place and not place.startswith("file://")


class Remote:
    """Files below one URL, named by relative paths with `/`. A file is there whole or not at all.

    Credentials come from the environment, a profile or the machine's role, never from the URL: it is written to files.
    Methods raise OSError where the storage fails, InputError where no file system reads such a URL.
    """

    def __init__(self, url: str) -> None:
        try:
            no_login(url)
        except ValueError as error:
            raise InputError(f"{redact(url)}: {error}") from None
        self.url = url

    def __getstate__(self) -> dict[str, str]:
        """The URL alone: each process connects by itself."""
        return {"url": self.url}

    def __truediv__(self, name: str) -> Remote:
        """The folder of that name; what follows a `?` (such as endpoint_override) stays at the end."""
        path, mark, query = self.url.partition("?")
        return Remote(f"{path.rstrip('/')}/{name}{mark}{query}")

    def __str__(self) -> str:
        return self.url.partition("?")[0]

    @cached_property
    def place(self) -> tuple[Any, str]:
        """pyarrow's file system and the path in it."""
        from pyarrow import ArrowException, fs

        try:
            system, path = fs.FileSystem.from_uri(self.url)
        except (ArrowException, ValueError) as error:
            try:
                import fsspec

                made, path = fsspec.core.url_to_fs(self.url)
                system = fs.PyFileSystem(fs.FSSpecHandler(made))
            except (ImportError, ValueError):
                raise InputError(
                    f"{self}: no file system for such a URL ({error}); s3:// and gs:// are built in"
                ) from None
        return system, path.rstrip("/")

    def files(self) -> dict[str, int]:
        """Every file below, with its size in bytes; empty where there is no such folder."""
        from pyarrow import fs

        system, base = self.place
        found = system.get_file_info(fs.FileSelector(base, allow_not_found=True, recursive=True))
        return {posixpath.relpath(f.path, base): f.size for f in found if f.type == fs.FileType.File}

    def put(self, source: Path, name: str) -> None:
        """Upload one file."""
        system, base = self.place
        target = posixpath.join(base, name)
        if not self._puts_whole:
            system.create_dir(posixpath.dirname(target), recursive=True)
        part = target if self._puts_whole else f"{target}.part"
        with source.open("rb") as data, system.open_output_stream(part) as out:
            while block := data.read(1 << 22):
                out.write(block)
        if part != target:
            system.move(part, target)

    def get(self, name: str, target: Path) -> None:
        """Download one file. Raises FileNotFoundError where there is none."""
        system, base = self.place
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        with system.open_input_stream(posixpath.join(base, name)) as data, part.open("wb") as out:
            while block := data.read(1 << 22):
                out.write(block)
        part.replace(target)

    def read(self, name: str) -> bytes | None:
        """A small file's content; None where there is none."""
        system, base = self.place
        try:
            with system.open_input_stream(posixpath.join(base, name)) as data:
                return bytes(data.read())
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        """Remove one file, if it is there."""
        system, base = self.place
        try:
            system.delete_file(posixpath.join(base, name))
        except FileNotFoundError:
            return

    @property
    def _puts_whole(self) -> bool:
        """An object store shows an upload when it is complete; a file system shows what was written so far."""
        return getattr(self.place[0], "type_name", "") in {"s3", "gcs", "abfs"}
