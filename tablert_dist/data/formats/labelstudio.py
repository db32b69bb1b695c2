"""Label Studio's JSON: tasks with annotations, or with predictions (pre-annotations), of any version; and JSON-MIN."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tablert_dist.data.formats.hypertext import Hypertext
from tablert_dist.data.formats.jsonl import word_offsets
from tablert_dist.data.formats.labelstudio_text import TextField, as_task
from tablert_dist.data.formats.notes import Notes
from tablert_dist.data.formats.records import (
    NULLS,
    checked_integer,
    integer,
    list_of,
    read_each,
    sentence_id,
    type_name,
)
from tablert_dist.data.formats.regions import Region, marks_of
from tablert_dist.data.formats.source import Record, kind
from tablert_dist.data.formats.spans import Link, Marked, to_sentences
from tablert_dist.errors import InputError
from tablert_dist.schema import Sentence

UNREAD = "tasks without an annotation that counts, left out"
LABELS = ("labels", "hypertextlabels")
"""Types of results that mark text; what they say is under the key of the same name."""


def iterate(path: Path, notes: Notes, key: str = "annotations") -> Iterator[Sentence]:
    """Sentences of the tasks in file order, of their `annotations` (`completions` before version 1.0) or `predictions`.

    Raises InputError where no task has one.
    """
    before = notes.number(UNREAD)
    found = False
    for sentence in read_each(path, partial(_task, key=key, field=TextField(notes.field)), notes):
        found = True
        yield sentence
    if not found and notes.number(UNREAD) > before:
        other = "labelstudio-predictions" if key == "annotations" else "labelstudio"
        raise InputError(f"{path}: no task has '{key}' that count; the other kind is read with --format {other}")


def _task(record: Record, where: str, notes: Notes, key: str, field: TextField) -> list[Sentence]:
    record = as_task(record, where, notes)
    data = record.get("data")
    if not isinstance(data, dict):
        raise InputError(f"'data' must be an object, found {kind(data)}")
    if key == "annotations" and key not in record and "completions" in record:
        key = "completions"
    chosen = _chosen(list_of(record, key, [], where, notes), key, where, notes)
    if chosen is None:
        notes.count(UNREAD, where)
        return []
    results, links = _results(chosen, where, notes)
    hypertext = any("globalOffsets" in value or kind_of == "hypertextlabels" for _, kind_of, value in results)
    text, page = field.text_of(data, [value.get("text") for _, _, value in results], hypertext)
    of_each = [_regions(value, name, page, where, notes) for name, _, value in results]
    regions = [first for first, *_ in of_each] + [region for _, *more in of_each for region in more]
    marks = marks_of(text, regions, where, notes)
    name = sentence_id(data, "id")
    name = sentence_id(record, "id") if name is None else name
    offsets = word_offsets(data, text, where, notes)
    marked = Marked(text, marks, links, name, sentence_id(data, "document"), offsets=offsets)
    return to_sentences(marked, where, notes)


def _chosen(given: list[Any], key: str, where: str, notes: Notes) -> list[Any] | None:
    """The results of the one that counts: of those not cancelled the ground truth, else the newest, else the last."""
    given = [item for item in given if item is not None]
    for n, item in enumerate(given):
        if not isinstance(item, dict):
            raise InputError(f"{key}[{n}] must be an object, found {kind(item)}")
    counting = [item for item in given if item.get("was_cancelled") is not True and item.get("skipped") is not True]
    if len(given) > len(counting):
        notes.count("cancelled annotations, left out", where, len(given) - len(counting))
    if not counting:
        return None
    ranks = [
        (item.get("ground_truth") is True, str(item.get("updated_at") or item.get("created_at") or ""), n)
        for n, item in enumerate(counting)
    ]
    if len(counting) > 1:
        notes.count(f"further {key} of a task (read is the ground truth, else the newest)", where, len(counting) - 1)
    return list_of(counting[max(ranks)[2]], "result")


def _results(results: list[Any], where: str, notes: Notes) -> tuple[list[tuple[str, str, Record]], list[Link]]:
    """Regions by their ids, as (name, type, value with `id` and `score`), and relations."""
    regions: dict[str, tuple[str, str, Record]] = {}
    links = []
    for n, item in enumerate(results):
        name = f"result[{n}]"
        if item is None:
            notes.odd(NULLS, f"{where}: {name}")
            continue
        if not isinstance(item, dict):
            raise InputError(f"{name} must be an object, found {kind(item)}")
        if (kind_of := item.get("type")) in LABELS:
            key, value = sentence_id(item, "id"), item.get("value")
            if key is None or not isinstance(value, dict):
                raise InputError(f"{name} must have an 'id' and a 'value'")
            if key in regions:
                raise InputError(f"{name} has the id '{key[:60]}' of another")
            labels = list_of(value, str(kind_of)) if kind_of in value else list_of(value, "labels")
            about = {"id": key, "labels": labels, "score": item.get("score")}
            regions[key] = (name, str(kind_of), {**value, **about})
        elif kind_of == "relation":
            links += _links(item, name, where, notes)
        else:
            notes.count("results that are neither labels nor relations, left out", f"{where}: {name}")
    return list(regions.values()), links


def _regions(value: Record, name: str, page: Hypertext | None, where: str, notes: Notes) -> list[Region]:
    """One for each label; relations mean the first."""
    said = value.get("text")
    said = said if isinstance(said, str) else None
    start, end = _offsets(value, name, page, said)
    if not value["labels"]:
        raise InputError(f"{name} has no label")
    types = [type_name({"labels": label}, name, "labels") for label in value["labels"]]
    if len(types) > 1:
        notes.count("regions with several labels, an entity each; relations are of the first", f"{where}: {name}")
    score = value["score"]
    sure = float(score) if isinstance(score, int | float) and 0 <= score <= 1 else None
    key = value["id"]
    keys: list[object] = [key, *((key, n) for n in range(1, len(types)))]
    return [Region(k, start, end, kind_of, said, sure, name) for k, kind_of in zip(keys, types, strict=True)]


def _offsets(value: Record, name: str, page: Hypertext | None, said: str | None) -> tuple[int, int]:
    """Characters of the text; of a page by its count, or where it has none anywhere that its own text stands once."""
    if page is None:
        return integer(value, "start", name), integer(value, "end", name)
    given = value.get("globalOffsets")
    if not isinstance(given, dict):
        if said is None:
            raise InputError(f"{name} has neither 'globalOffsets' nor a 'text'")
        return 0, len(page.text) + 1
    return page.span(*(checked_integer(given.get(key), f"{name}: globalOffsets: '{key}'") for key in ("start", "end")))


def _links(item: Record, name: str, where: str, notes: Notes) -> list[Link]:
    ends = [sentence_id(item, "from_id"), sentence_id(item, "to_id")]
    if None in ends:
        raise InputError(f"{name} must have 'from_id' and 'to_id'")
    direction = item.get("direction", "right")
    if direction not in ("right", "left", "bi"):
        raise InputError(f"{name}: 'direction' must be right, left or bi, found {kind(direction)}")
    if direction == "left":
        ends.reverse()
    labels = list_of(item, "labels", [], where, notes)
    if not labels:
        notes.count("relations without a label, left out", f"{where}: {name}")
    elif direction == "bi":
        notes.count("relations in both directions, read in the one they were drawn in", f"{where}: {name}")
    return [Link(ends[0], ends[1], type_name({"labels": label}, name, "labels")) for label in labels]
