"""Which format a file or folder is in, from what is inside it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from tablert_dist.data.formats import conll, tags
from tablert_dist.data.formats.brat import UNREAD
from tablert_dist.data.formats.layouts import layout_of, table_of
from tablert_dist.data.formats.notes import Notes
from tablert_dist.data.formats.registry import ENDINGS, FORMATS
from tablert_dist.data.formats.source import Record, lines, objects
from tablert_dist.errors import InputError

LOOKED_AT = 20
"""Records of a file that may show its format."""
MARKED = ("entities", "spans", "label", "labels")
"""Fields of a record that several formats have, and that say more where they are not empty."""
HF_FILES = ("dataset_info.json", "state.json", "dataset_dict.json")


def detect(path: Path, notes: Notes | None = None) -> str:
    """The name of the format. Raises InputError saying what was seen where it cannot be told.

    With `notes` that are not strict, records that cannot be read are passed over here, too.
    """
    if path.is_dir():
        return _folder(path)
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    for name, form in FORMATS.items():
        if head.startswith(form.magic):
            return name
    if path.suffix in {".txt", ".ann"} and all(path.with_suffix(s).is_file() for s in (".txt", ".ann")):
        return "brat"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"[", b"{", b""):
        return _json(path, notes is None or notes.strict)
    return _columns(path)


def _folder(path: Path) -> str:
    names = sorted(item.name for item in path.iterdir())
    if any(name in HF_FILES for name in names):
        return "hf"
    if any(name.endswith(".ann") for name in names) or _brat_below(path, names):
        return "brat"
    seen = ", ".join(names[:5]) + (", …" if len(names) > 5 else "") if names else "nothing"
    raise InputError(
        f"{path} is a folder that is neither BRAT's (.ann) nor of Hugging Face datasets ({HF_FILES[0]}): it has {seen}"
    )


def _brat_below(path: Path, names: Sequence[str]) -> bool:
    """Whether sub-folders have BRAT's files, and the folder itself no other data."""
    return not any(Path(name).suffix in ENDINGS for name in names) and next(path.rglob("*.ann"), None) is not None


def _json(path: Path, strict: bool) -> str:
    try:
        first = [record for _, record in itertools.islice(objects(path, None if strict else Notes()), LOOKED_AT)]
    except InputError:
        if _looks_like_columns(path):  # a first word that is a bracket
            return "conll"
        raise
    return _record(first, path)


def _record(records: Sequence[Record], path: Path) -> str:
    """The format of the first record that shows one; those that mark something show it best."""
    for record in sorted(records, key=lambda record: not any(record.get(key) for key in MARKED)):
        if known := layout_of(record):
            raise InputError(f"{path}: {known}")
        for name, form in FORMATS.items():
            if form.sign(record):
                return name
    first = records[0] if records else {}
    wanted = " nor ".join("'{}' ({})".format(*form.field) for form in FORMATS.values() if form.field)
    seen = ", ".join(f"'{str(key)[:40]}'" for key in list(first)[:8]) or "no field"
    raise InputError(
        f"{path}: record 0 has neither {wanted}: it has {seen}; expected a JSON array of sentences, or JSON lines"
    )


def _columns(path: Path) -> str:
    if _looks_like_columns(path):
        return "conll"
    ending = ENDINGS.get(path.suffix, "conll")
    if ending != "conll" and FORMATS[ending].field is None and not FORMATS[ending].magic:
        return ending  # a format that is known by its ending alone
    seen = next((line for _, line in lines(path) if line.strip()), "")
    if known := table_of(seen):
        raise InputError(f"{path}: {known}")
    if seen[:1] in {"T", "R", *UNREAD} and "\t" in seen:
        raise InputError(f"{path}: BRAT annotations without their .txt beside them, it seems: {seen[:60]!r}")
    raise InputError(
        f"{path}: neither JSON, nor columns with a tag at the end, nor a spaCy DocBin, nor parquet: it starts with "
        f"{seen[:60]!r}; --format says which format it is"
    )


def _looks_like_columns(path: Path) -> bool:
    try:
        for number, line in lines(path):
            if not line.strip() or conll.comment(line)[0] is not None:
                continue
            return tags.is_tag(conll.row(number, line).tag)
    except InputError:
        return False
    return False
