"""Long sentences as windows of words, and what was found in them put together (docs/concepts.md#raw-text)."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.tags import Ints
from tablert_dist.text.words import Span


def windows(subwords: Ints, room: int) -> list[Span]:
    """Runs of whole words, each within `room` subwords, overlapping by half; `subwords[n]` are word n's.

    Raises InputError where one word alone has more.
    """
    if len(subwords) and int(subwords.max()) > room:
        raise InputError(
            f"word {int(subwords.argmax())} alone has {int(subwords.max())} subwords, the encoder takes {room}: no word?"
        )
    total = np.concatenate([[0], np.cumsum(subwords)])
    count = len(subwords)
    spans: list[Span] = []
    start = 0
    end = _reach(total, start, room)
    spans.append((start, end))
    while end < count:
        half = int(np.searchsorted(total, total[start] + room // 2, side="right")) - 1
        start = max(half, start + 1)
        # Long words may fill a window that begins at its half before anything new comes in.
        while _reach(total, start, room) <= end:
            start += 1
        end = _reach(total, start, room)
        spans.append((start, end))
    return spans


def _reach(total: Ints, start: int, room: int) -> int:
    """The word before which a window from `start` must end."""
    return int(np.searchsorted(total, total[start] + room, side="right")) - 1


@dataclass(frozen=True)
class Merged:
    """One long sentence read by windows. `all_pairs`: whether every pair of its entities shared a window."""

    sentence: Sentence
    all_pairs: bool


def merge(words: Sequence[str], spans: Sequence[Span], found: Sequence[Sentence]) -> Merged:
    """What the windows found, each thing taken from the window in which its nearest edge is farthest away.

    Time grows with the windows and with what was found in them, not with their squares.
    """
    places = _Windows(spans, len(words))
    entities: dict[Entity, Entity] = {}
    for (start, end), sentence in zip(spans, found, strict=True):
        for entity in sentence.entities:
            moved = _shift(entity, start)
            if places.best((moved.start, moved.end)) == (start, end):
                entities[moved] = moved
    kept = _without_overlap(entities.values(), places)
    by_value = {entity: entity for entity in kept}
    relations = []
    for (start, end), sentence in zip(spans, found, strict=True):
        for relation in sentence.relations:
            head, tail = (by_value.get(_shift(e, start)) for e in (relation.head, relation.tail))
            if head is None or tail is None:
                continue
            if places.best(_around(head, tail)) == (start, end):
                relations.append(Relation(head, tail, relation.type, relation.probability, relation.odds))
    # The first and the last are farthest apart: a window that holds both holds every pair.
    all_pairs = len(kept) < 2 or places.best(_around(kept[0], kept[-1])) is not None
    return Merged(Sentence(tuple(words), tuple(kept), tuple(relations)), all_pairs)


def _shift(entity: Entity, by: int) -> Entity:
    return Entity(entity.start + by, entity.end + by, entity.type, entity.probability, entity.uncalibrated)


def _around(first: Entity, second: Entity) -> Span:
    return min(first.start, second.start), max(first.end, second.end)


class _Windows:
    """The windows of a sentence of `count` words, in their order: both their starts and their ends rise."""

    def __init__(self, spans: Sequence[Span], count: int) -> None:
        self.spans, self.count = spans, count
        self._starts, self._ends = [start for start, _ in spans], [end for _, end in spans]

    def best(self, span: Span) -> Span | None:
        """The window to read a span from; None where no window holds it whole."""
        holding = self.spans[bisect_left(self._ends, span[1]) : bisect_right(self._starts, span[0])]
        return max(holding, key=lambda window: self.margin(span, window), default=None)

    def margin(self, span: Span, window: Span) -> float:
        """Words to the nearest edge of the window; the sentence's own ends are no edges."""
        left = span[0] - window[0] if window[0] > 0 else math.inf
        right = window[1] - span[1] if window[1] < self.count else math.inf
        return min(left, right)


def _without_overlap(entities: Iterable[Entity], windows: _Windows) -> list[Entity]:
    """Where windows disagree about neighbouring words, the entity farther from its window's edge stays."""

    def rank(entity: Entity) -> tuple[float, float]:
        span = (entity.start, entity.end)
        best = windows.best(span)
        return (windows.margin(span, best) if best else -1.0, entity.rank)

    taken = bytearray(windows.count)
    kept: list[Entity] = []
    for entity in sorted(entities, key=rank, reverse=True):
        if not any(taken[entity.start : entity.end]):
            taken[entity.start : entity.end] = b"\1" * (entity.end - entity.start)
            kept.append(entity)
    return sorted(kept, key=lambda e: e.start)
