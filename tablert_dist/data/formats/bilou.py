"""BILOU-tag JSON: `tokens`, one tag a token, `relations` indexing the entities in the order of their words."""

from __future__ import annotations

from pathlib import Path

from tablert_dist.data.formats.records import Record, read_each, relations_of, sentence_id, words_of
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Sentence


def read(path: Path) -> list[Sentence]:
    """Sentences in file order. Raises InputError naming file, record and reason."""
    return read_each(path, _sentence)


def _sentence(record: Record) -> Sentence:
    words = words_of(record)
    tags = record.get("tags")
    if not isinstance(tags, list) or len(tags) != len(words):
        raise InputError(f"'tags' must be a list of {len(words)} tags, one for each token")
    entities = spans(tags)
    return Sentence(words, tuple(entities), relations_of(record, entities), sentence_id(record))


def spans(tags: list[object]) -> list[Entity]:
    """The entities of a well-formed BILOU sequence. Raises InputError naming the first tag that is out of place."""
    entities: list[Entity] = []
    opened: tuple[int, str] | None = None
    for i, tag in enumerate(tags):
        prefix, dash, kind = tag.partition("-") if isinstance(tag, str) else ("", "", "")
        if tag != "O" and (prefix not in {"B", "I", "L", "U"} or not dash or not kind):
            raise InputError(f"tags[{i}] = {tag!r}: expected O or B-, I-, L-, U- and a type")
        if opened and (prefix not in {"I", "L"} or kind != opened[1]):
            raise InputError(f"tags[{i}] = {tag!r}: the entity B-{opened[1]} at tags[{opened[0]}] is not closed by L")
        if not opened and prefix in {"I", "L"}:
            raise InputError(f"tags[{i}] = {tag!r}: no B-{kind} before it")
        if prefix == "B":
            opened = (i, kind)
        elif prefix == "U":
            entities.append(Entity(i, i + 1, kind))
        elif prefix == "L" and opened:
            entities.append(Entity(opened[0], i + 1, kind))
            opened = None
    if opened:
        raise InputError(f"tags[{opened[0]}] = 'B-{opened[1]}': the sentence ends before an L closes it")
    return entities
