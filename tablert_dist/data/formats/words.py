"""The tokens of a record as words: those of white space are left out, and positions follow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from tablert_dist.data.formats.notes import Notes
from tablert_dist.data.formats.records import check_characters
from tablert_dist.data.formats.source import Record, kind
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation

WHITE = "tokens of white space, left out"
EMPTY = "entities of white space only, left out"
ORPHANS = "relations of an entity that was left out, left out"


@dataclass(frozen=True)
class Words:
    """The words of a sentence, and where each token of the file went."""

    words: tuple[str, ...]
    before: Sequence[int] | None = None
    """Words before each token, and at the end all; unset: every token is a word."""

    def moved(self, entity: Entity) -> Entity | None:
        """The entity on words; nothing where it has none. One that lies outside stays so, to be refused."""
        if self.before is None or not 0 <= entity.start < entity.end < len(self.before):
            return entity
        start, end = self.before[entity.start], self.before[entity.end]
        return Entity(start, end, entity.type, entity.probability) if start < end else None


def read_words(tokens: Any, name: str, where: str, notes: Notes) -> Words:
    """A list of strings; `name` is what it is called in the file. Raises InputError where that leaves no word."""
    if not isinstance(tokens, list) or not tokens:
        raise InputError(f"'{name}' must be a list of at least one string")
    for position, token in enumerate(tokens):
        if not isinstance(token, str):
            raise InputError(f"{name}[{position}] must be a string, found {kind(token)}")
    check_characters("".join(tokens), f"'{name}'")
    white = [n for n, token in enumerate(tokens) if not token.strip()]
    if not white:
        return Words(tuple(tokens))
    notes.odd(WHITE, f"{where}: {name}[{white[0]}]", len(white))
    if len(white) == len(tokens):
        raise InputError(f"'{name}' has no word, only white space")
    before = [0, *accumulate(int(bool(token.strip())) for token in tokens)]
    return Words(tuple(token for token in tokens if token.strip()), before)


def words_of(record: Record, where: str, notes: Notes, key: str = "tokens") -> Words:
    """The field `tokens`."""
    if record.get(key) is None:
        raise InputError(f"'{key}' is missing")
    return read_words(record[key], key, where, notes)


def on_words(
    words: Words, entities: Sequence[Entity | None], relations: Iterable[tuple[int, int, str]], where: str, notes: Notes
) -> tuple[tuple[Entity, ...], tuple[Relation, ...]]:
    """Entities on tokens, and relations of their positions, on words; what has no word, or no end, is left out."""
    placed = [None if entity is None else words.moved(entity) for entity in entities]
    for before, after in zip(entities, placed, strict=True):
        if before is not None and after is None:
            notes.odd(EMPTY, where)
    found = []
    for head, tail, name in relations:
        first, second = placed[head], placed[tail]
        if first is None or second is None:
            notes.odd(ORPHANS, where)
        else:
            found.append(Relation(first, second, name))
    return tuple(entity for entity in placed if entity is not None), tuple(found)
