"""Which of a task's fields is its text; JSON-MIN, which has no tasks, as tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tablert_dist.data.formats.hypertext import Hypertext, read_html
from tablert_dist.data.formats.notes import Notes
from tablert_dist.data.formats.source import Record, kind
from tablert_dist.errors import InputError

TASK = ("data", "annotations", "completions", "predictions")
ABOUT = ("annotation_id", "annotator", "lead_time", "created_at", "updated_at")
"""What JSON-MIN says of the annotation, beside the task's data."""
LOOKED_AT = 50
"""Regions of a task whose quotes are looked for."""
ADVICE = "name it with --text-field"
ENTITIES_ONLY = "tasks of JSON-MIN, which has no relations: only their entities are read"


def is_task(record: Record) -> bool:
    """Whether a record is a task."""
    return isinstance(record.get("data"), dict)


def is_min(record: Record) -> bool:
    """Whether a record is one of JSON-MIN: a list of regions beside the task's own fields."""
    return not any(key in record for key in TASK) and any(_regions(value) for value in record.values())


def _regions(value: Any) -> list[Record]:
    """A field of JSON-MIN that marks text; of other fields nothing."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return []
    return value if all("labels" in item or "hypertextlabels" in item for item in value) else []


def as_task(record: Record, where: str, notes: Notes) -> Record:
    """A task of a record of JSON-MIN; any other as it is."""
    if any(key in record for key in TASK):
        return record
    found = {key: regions for key, value in record.items() if (regions := _regions(value))}
    result = [
        {"id": f"{key}-{n}", "type": "labels" if "labels" in item else "hypertextlabels", "value": item}
        for key, regions in found.items()
        for n, item in enumerate(regions)
    ]
    if not result and "annotation_id" not in record and "annotator" not in record:
        return record
    notes.count(ENTITIES_ONLY, where)
    data = {key: value for key, value in record.items() if key not in found and key not in ABOUT}
    return {"id": record.get("id"), "data": data, "annotations": [{"result": result}]}


class TextField:
    """The field that has the text: the one that is named, or the one that regions quote; the same through a file."""

    def __init__(self, name: str | None) -> None:
        self.name, self._before, self._pages = name, name, False

    def text_of(self, data: Record, quoted: Sequence[Any], hypertext: bool) -> tuple[str, Hypertext | None]:
        """The text, and its page where it is HTML. Raises InputError where no field, or more than one, can be it."""
        self._pages = self._pages or hypertext
        texts = {key: value for key, value in data.items() if isinstance(value, str)}
        pages = {key: read_html(value) for key, value in texts.items()} if self._pages else {}
        texts |= {key: page.text for key, page in pages.items()}
        said = [text for text in quoted if isinstance(text, str) and text.strip()]
        name = self._before = self._chosen(data, texts, said)
        return texts[name], pages.get(name)

    def _chosen(self, data: Record, texts: dict[str, str], said: list[str]) -> str:
        if self.name is not None:
            if self.name not in texts:
                raise InputError(f"'data' has no string '{self.name}', which was named as its text: {_list(texts)}")
            return self.name
        fitting = [key for key, text in texts.items() if said and _quotes(text, said[:LOOKED_AT])]
        # Of equal claims: the field of the records before, the one that is called so, the only one there is.
        others = [key for key in texts if key not in {"id", "document"}]
        for claims in (fitting, others):
            for name in (self._before, "text"):
                if name in claims:
                    return str(name)
            if len(claims) == 1:
                return claims[0]
        if "text" in data and "text" not in texts:
            raise InputError(f"'text' must be a string, found {kind(data['text'])}")
        if fitting:
            raise InputError(f"'data' has {len(fitting)} strings that the regions quote: {_list(fitting)}; {ADVICE}")
        raise InputError(f"'data' has no 'text', and {len(others)} other strings that could be it; {ADVICE}")


def _quotes(text: str, parts: Sequence[str]) -> bool:
    """Whether all the parts stand in the text, white space aside."""
    plain = " ".join(text.split())
    return all(part in text or " ".join(part.replace("\\n", "\n").split()) in plain for part in parts)


def _list(names: Any) -> str:
    return ", ".join(f"'{str(name)[:40]}'" for name in list(names)[:8]) or "there is none"
