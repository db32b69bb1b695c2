"""Files that are there whole or not at all, and their hashes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tablert_dist.errors import InputError


def write_whole(out: Path, text: str) -> None:
    """Write a file whole or not at all. Raises InputError where it cannot be written."""
    part = out.with_name(f".{out.name}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{out}: cannot be written: {error.strerror}") from None


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
