"""Which format a file or folder is in, from what is inside it."""

from __future__ import annotations

from pathlib import Path

from tablert_dist.data.formats import conll, tags
from tablert_dist.data.formats.brat import UNREAD
from tablert_dist.data.formats.registry import ENDINGS, FORMATS
from tablert_dist.data.formats.source import Record, lines, objects
from tablert_dist.errors import InputError

HF_FILES = ("dataset_info.json", "state.json", "dataset_dict.json")


def detect(path: Path) -> str:
    """The name of the format. Raises InputError saying what was seen where it cannot be told."""
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
        return _json(path)
    return _columns(path)


def _folder(path: Path) -> str:
    names = sorted(item.name for item in path.iterdir())
    if any(name in HF_FILES for name in names):
        return "hf"
    if any(name.endswith(".ann") for name in names):
        return "brat"
    seen = ", ".join(names[:5]) + (", …" if len(names) > 5 else "") if names else "nothing"
    raise InputError(
        f"{path} is a folder that is neither BRAT's (.ann) nor of Hugging Face datasets ({HF_FILES[0]}): it has {seen}"
    )


def _json(path: Path) -> str:
    try:
        first = next(objects(path))[1]
    except InputError:
        if _looks_like_columns(path):  # a first word that is a bracket
            return "conll"
        raise
    return _record(first, path)


def _record(first: Record, path: Path) -> str:
    for name, form in FORMATS.items():
        if form.sign(first):
            return name
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
