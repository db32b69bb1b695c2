"""Label Studio's JSON: tasks with annotations read and written, or with predictions (pre-annotations)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tablert_dist.data.formats.array import JsonArray
from tablert_dist.data.formats.jsonl import text_fields, text_of, word_offsets
from tablert_dist.data.formats.notes import Notes, Written
from tablert_dist.data.formats.records import integer, list_of, read_each, sentence_id, type_name
from tablert_dist.data.formats.source import Record, kind
from tablert_dist.data.formats.spans import Link, Mark, Marked, text_and_offsets, to_sentences
from tablert_dist.data.formats.spert import names
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Schema, Sentence

UNREAD = "tasks without an annotation that counts, left out"


def iterate(path: Path, notes: Notes, key: str = "annotations") -> Iterator[Sentence]:
    """Sentences of the tasks in file order, of their `annotations` or `predictions`.

    Raises InputError naming file, record and reason; also where no task has one.
    """
    before = notes.number(UNREAD)
    found = False
    for sentence in read_each(path, partial(_task, key=key), notes):
        found = True
        yield sentence
    if not found and notes.number(UNREAD) > before:
        other = "labelstudio-predictions" if key == "annotations" else "labelstudio"
        raise InputError(f"{path}: no task has '{key}' that count; the other kind is read with --format {other}")


def _task(record: Record, where: str, notes: Notes, key: str) -> list[Sentence]:
    data = record.get("data")
    if not isinstance(data, dict):
        raise InputError(f"'data' must be an object, found {kind(data)}")
    text = _text(data)
    chosen = _chosen(list_of(record, key, []), key, where, notes)
    if chosen is None:
        notes.count(UNREAD, where)
        return []
    marks, links = _results(chosen, text, where, notes)
    name = sentence_id(data, "id")
    name = sentence_id(record, "id") if name is None else name
    marked = Marked(text, marks, links, name, sentence_id(data, "document"), offsets=word_offsets(data, text))
    return to_sentences(marked, where, notes)


def _text(data: Record) -> str:
    if "text" in data:
        return text_of(data)
    texts = [key for key, value in data.items() if isinstance(value, str) and key not in {"id", "document"}]
    if len(texts) != 1:
        raise InputError(f"'data' has no 'text', and {len(texts)} other strings that could be it")
    return str(data[texts[0]])


def _chosen(given: list[Any], key: str, where: str, notes: Notes) -> list[Any] | None:
    """The results of the one that counts: of those not cancelled the ground truth, else the newest, else the last."""
    for n, item in enumerate(given):
        if not isinstance(item, dict):
            raise InputError(f"{key}[{n}] must be an object, found {kind(item)}")
    counting = [item for item in given if item.get("was_cancelled") is not True]
    if len(given) > len(counting):
        notes.count("cancelled annotations, left out", where, len(given) - len(counting))
    if not counting:
        return None
    ranks = [
        (item.get("ground_truth") is True, str(item.get("updated_at") or ""), n) for n, item in enumerate(counting)
    ]
    if len(counting) > 1:
        notes.count(f"further {key} of a task (read is the ground truth, else the newest)", where, len(counting) - 1)
    return list_of(counting[max(ranks)[2]], "result")


def _results(results: list[Any], text: str, where: str, notes: Notes) -> tuple[list[Mark], list[Link]]:
    marks: dict[str, Mark] = {}
    more: list[Mark] = []
    links = []
    for n, item in enumerate(results):
        name = f"result[{n}]"
        if not isinstance(item, dict):
            raise InputError(f"{name} must be an object, found {kind(item)}")
        if item.get("type") == "labels":
            first, *others = _marks(item, name, text, where, notes)
            key = str(first.key)
            if key in marks:
                raise InputError(f"{name} has the id '{key[:60]}' of another")
            marks[key] = first
            more += others
        elif item.get("type") == "relation":
            links += _links(item, name, where, notes)
        else:
            notes.count("results that are neither labels nor relations, left out", f"{where}: {name}")
    return [*marks.values(), *more], links


def _marks(item: Record, name: str, text: str, where: str, notes: Notes) -> list[Mark]:
    """One for each label of a region; relations mean the first."""
    key = sentence_id(item, "id")
    value = item.get("value")
    if key is None or not isinstance(value, dict):
        raise InputError(f"{name} must have an 'id' and a 'value'")
    start, end = integer(value, "start", name), integer(value, "end", name)
    labels = list_of(value, "labels")
    if not labels:
        raise InputError(f"{name} has no label")
    types = [type_name({"labels": label}, name, "labels") for label in labels]
    if len(types) > 1:
        notes.count("regions with several labels, an entity each; relations are of the first", f"{where}: {name}")
    if isinstance(said := value.get("text"), str):
        start, end = _as_said(text, start, end, said, name, where, notes)
    score = item.get("score")
    sure = float(score) if isinstance(score, int | float) and 0 <= score <= 1 else None
    keys: list[object] = [key, *((key, n) for n in range(1, len(types)))]
    return [Mark(k, start, end, kind, sure) for k, kind in zip(keys, types, strict=True)]


def _as_said(text: str, start: int, end: int, said: str, name: str, where: str, notes: Notes) -> tuple[int, int]:
    """The offsets, which a browser may have counted in UTF-16 units: what is said to be there decides."""
    if not 0 <= start < end:
        raise InputError(f"{name}: [{start}, {end}) is no span of the text")
    ways = {said, said.replace("\\n", "\n")}  # exports write a line break as the two characters
    if text[start:end] in ways:
        return start, end
    units = text.encode("utf-16-le", "surrogatepass")
    before, inside = units[: 2 * start], units[2 * start : 2 * end]
    meant = inside.decode("utf-16-le", "replace")
    if meant in ways:
        notes.count("regions counted in UTF-16 units, put right", f"{where}: {name}")
        first = len(before.decode("utf-16-le", "replace"))
        return first, first + len(meant)
    raise InputError(
        f"{name}: its 'text' is {said[:60]!r}, but characters [{start}, {end}) are {text[start:end][:60]!r}"
    )


def _links(item: Record, name: str, where: str, notes: Notes) -> list[Link]:
    ends = [sentence_id(item, "from_id"), sentence_id(item, "to_id")]
    if None in ends:
        raise InputError(f"{name} must have 'from_id' and 'to_id'")
    direction = item.get("direction", "right")
    if direction not in ("right", "left", "bi"):
        raise InputError(f"{name}: 'direction' must be right, left or bi, found {kind(direction)}")
    if direction == "left":
        ends.reverse()
    labels = list_of(item, "labels", [])
    if not labels:
        notes.count("relations without a label, left out", f"{where}: {name}")
    elif direction == "bi":
        notes.count("relations in both directions, read in the one they were drawn in", f"{where}: {name}")
    return [Link(ends[0], ends[1], type_name({"labels": label}, name, "labels")) for label in labels]


def write(
    sentences: Iterable[Sentence], path: Path, written: Written, schema: Schema | None, key: str = "annotations"
) -> None:
    """A task a sentence, for a labelling interface whose tags are named `label` and `text` (docs/guides/formats.md)."""
    with JsonArray(path) as array:
        for sentence in sentences:
            array.add(_to_task(sentence, key))
            sure = sum(r.probability is not None for r in sentence.relations)
            written.lose("probabilities", "of relations: a task has none for them", sure)
            written.add(sentence)


def _to_task(sentence: Sentence, key: str) -> Record:
    text, offsets = text_and_offsets(sentence)
    results: list[Record] = []
    keys: dict[Entity, str] = {}
    for n, entity in enumerate(sentence.entities):
        keys.setdefault(entity, f"e{n}")
        start, end = offsets[entity.start][0], offsets[entity.end - 1][1]
        value = {"start": start, "end": end, "text": text[start:end], "labels": [entity.type]}
        region = {"id": f"e{n}", "from_name": "label", "to_name": "text", "type": "labels", "value": value}
        results.append(region if entity.probability is None else region | {"score": entity.probability})
    for relation in sentence.relations:
        ends = {"from_id": keys[relation.head], "to_id": keys[relation.tail]}
        results.append({"type": "relation", **ends, "direction": "right", "labels": [relation.type]})
    about: Record = {"result": results}
    items: list[Entity | Relation] = [*sentence.entities, *sentence.relations]
    sure = [item.probability for item in items if item.probability is not None]
    if key == "predictions":
        # The least certain part of a task is what an annotator should look at first.
        about = {"model_version": "tablert", **({"score": min(sure)} if sure else {}), **about}
    return {"data": names(sentence, "id") | text_fields(sentence), key: [about]}
