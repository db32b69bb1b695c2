"""Files that are there whole or not at all, and their hashes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

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


def write_json(path: Path, tree: Any) -> None:
    """Write whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(tree, indent=1, ensure_ascii=False), encoding="utf-8")
    part.replace(path)
