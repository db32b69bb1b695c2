"""SpERT's JSON: `tokens`, `entities` with `start`, exclusive `end` and `type`, `relations` indexing that list."""

from __future__ import annotations

from pathlib import Path

from tablert_dist.data.formats.records import (
    Record,
    integer,
    read_each,
    relations_of,
    sentence_id,
    type_name,
    words_of,
)
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Sentence


def read(path: Path) -> list[Sentence]:
    """Sentences in file order. Raises InputError naming file, record and reason."""
    return read_each(path, _sentence)


def _sentence(record: Record) -> Sentence:
    words = words_of(record)
    listed = record.get("entities")
    if not isinstance(listed, list):
        raise InputError("'entities' must be a list")
    entities = []
    for position, item in enumerate(listed):
        where = f"entities[{position}]"
        if not isinstance(item, dict):
            raise InputError(f"{where} must be an object")
        start, end = integer(item, "start", where), integer(item, "end", where)
        entities.append(Entity(start, end, type_name(item, where)))
    return Sentence(words, tuple(entities), relations_of(record, entities), sentence_id(record))
