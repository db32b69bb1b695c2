"""What goes between client and server as Python: texts as requests within its limits, its JSON as extractions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tablert_dist.errors import InputError
from tablert_dist.inference.extraction import Extraction, Read
from tablert_dist.schema import Entity, Relation, Sentence

Item = str | Sequence[str]
"""A text, or the words of a sentence."""
_ROOM = 64
"""Bytes of a body around its texts."""


@dataclass(frozen=True)
class Part:
    """Neighbours of a list that go in one request: the place of the first one, and each as JSON."""

    start: int
    items: tuple[bytes, ...]

    def body(self, name: str) -> bytes:
        """The request that asks for them."""
        return b'{"offsets":true,"%s":[%s]}' % (name.encode(), b",".join(self.items))

    def halves(self) -> tuple[Part, Part]:
        """The same in two parts."""
        middle = len(self.items) // 2
        return Part(self.start, self.items[:middle]), Part(self.start + middle, self.items[middle:])


def encoded(name: str, items: Sequence[Item]) -> list[bytes]:
    """Each item as JSON. Raises InputError for the first that is no text, or no list of words."""
    found = []
    for index, item in enumerate(items):
        where = f"{name}[{index}]"
        if name == "texts" and not isinstance(item, str):
            raise InputError(f"{where}: expected a text, found {type(item).__name__}")
        if name == "words" and (isinstance(item, str) or not all(isinstance(word, str) for word in item)):
            raise InputError(f"{where}: expected a list of words, found {type(item).__name__}")
        try:
            found.append(json.dumps(item if isinstance(item, str) else list(item), ensure_ascii=False).encode())
        except UnicodeEncodeError as error:
            raise InputError(f"{where}: found half of a surrogate pair after {error.start} characters") from None
    return found


def parts(items: Sequence[bytes], most_items: int, most_bytes: int) -> Iterator[Part]:
    """Put the items into requests within both limits; an item that is over `most_bytes` by itself gets its own."""
    start, size = 0, _ROOM
    for index, item in enumerate(items):
        if index > start and (index - start == most_items or size + len(item) + 1 > most_bytes):
            yield Part(start, tuple(items[start:index]))
            start, size = index, _ROOM
        size += len(item) + 1
    if len(items) > start:
        yield Part(start, tuple(items[start:]))


def extraction_of(tree: Mapping[str, Any], symmetric: frozenset[str]) -> Extraction:
    """The extraction of a result with `offsets`, as the server's own predictor made it.

    Raises KeyError, IndexError, TypeError or ValueError for what is no such result.
    """
    text = tree["text"]
    offsets = tuple((start, end) for start, end in tree["offsets"])
    first = {start: n for n, (start, _) in enumerate(offsets)}
    last = {end: n for n, (_, end) in enumerate(offsets, 1)}
    entities = tuple(
        Entity(first[one["start"]], last[one["end"]], one["type"], one["probability"]) for one in tree["entities"]
    )
    relations = tuple(
        Relation(entities[one["head"]], entities[one["tail"]], one["type"], one["probability"])
        for one in tree["relations"]
    )
    sentence = Sentence(tuple(text[start:end] for start, end in offsets), entities, relations)
    read = Read(tree["words"], tree["words_read"], tree["sentences"], tree["windows"], tree["all_pairs"])
    return Extraction(text, sentence, offsets, read, symmetric)
