"""One file a format; `read` finds out which one a file is in."""

from __future__ import annotations

from pathlib import Path

from tablert_dist.data.formats import bilou, spert
from tablert_dist.data.formats.records import load_records
from tablert_dist.errors import InputError
from tablert_dist.schema import Sentence

READERS = {"spert": spert.read, "bilou": bilou.read}


def read(path: Path, name: str = "auto") -> list[Sentence]:
    """Read a file in the named format, or in the one that its first record has."""
    return READERS[detect(path) if name == "auto" else name](path)


def detect(path: Path) -> str:
    """`spert` or `bilou`, from the first record. Raises InputError where it is neither."""
    first = load_records(path)[0]
    if "entities" in first:
        return "spert"
    if "tags" in first:
        return "bilou"
    raise InputError(f"{path}: record 0 has neither 'entities' (SpERT's JSON) nor 'tags' (BILOU-tag JSON)")
