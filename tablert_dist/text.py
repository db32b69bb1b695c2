"""Raw text as sentences of words with exact character offsets, and long sentences as windows (docs/concepts.md#raw-text)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers.pre_tokenizers import BertPreTokenizer

from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.tags import Ints

Span = tuple[int, int]


def split_words(text: str) -> list[Span]:
    """Character spans of the words: split on white space and around punctuation (BERT's rule)."""
    found = BertPreTokenizer().pre_tokenize_str(text)
    return [(start, end) for _, (start, end) in found if text[start:end].strip()]


def split_sentences(text: str, language: str) -> list[Span]:
    """Character spans of the sentences, from the first to the last character of the text."""
    if not text:
        return []
    from sentencex import segment

    spans: list[Span] = []
    start = 0
    for part in segment(language, text):
        spans.append((start, start + len(part)))
        start += len(part)
    # Offsets are only as good as the promise that nothing was left out or changed.
    return spans if start == len(text) else [(0, len(text))]


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
    """What the windows found, each thing taken from the window in which its nearest edge is farthest away."""
    count = len(words)
    entities: dict[Entity, Entity] = {}
    for (start, end), sentence in zip(spans, found, strict=True):
        for entity in sentence.entities:
            moved = _shift(entity, start)
            if _best((moved.start, moved.end), spans, count) == (start, end):
                entities[moved] = moved
    kept = _without_overlap(entities.values(), spans, count)
    by_value = {entity: entity for entity in kept}
    relations = []
    for (start, end), sentence in zip(spans, found, strict=True):
        for relation in sentence.relations:
            head, tail = (by_value.get(_shift(e, start)) for e in (relation.head, relation.tail))
            if head is None or tail is None:
                continue
            if _best(_around(head, tail), spans, count) == (start, end):
                relations.append(Relation(head, tail, relation.type, relation.probability))
    all_pairs = all(
        _best(_around(first, second), spans, count) is not None
        for i, first in enumerate(kept)
        for second in kept[i + 1 :]
    )
    return Merged(Sentence(tuple(words), tuple(kept), tuple(relations)), all_pairs)


def _shift(entity: Entity, by: int) -> Entity:
    return Entity(entity.start + by, entity.end + by, entity.type, entity.probability)


def _around(first: Entity, second: Entity) -> Span:
    return min(first.start, second.start), max(first.end, second.end)


def _margin(span: Span, window: Span, count: int) -> float:
    """Words to the nearest edge of the window; the sentence's own ends are no edges."""
    left = span[0] - window[0] if window[0] > 0 else np.inf
    right = window[1] - span[1] if window[1] < count else np.inf
    return float(min(left, right))


def _best(span: Span, spans: Sequence[Span], count: int) -> Span | None:
    """The window to read a span from; None where no window holds it whole."""
    holding = [w for w in spans if w[0] <= span[0] and span[1] <= w[1]]
    return max(holding, key=lambda w: _margin(span, w, count), default=None)


def _without_overlap(entities: Iterable[Entity], spans: Sequence[Span], count: int) -> list[Entity]:
    """Where windows disagree about neighbouring words, the entity farther from its window's edge stays."""

    def rank(entity: Entity) -> tuple[float, float]:
        span = (entity.start, entity.end)
        best = _best(span, spans, count)
        return (_margin(span, best, count) if best else -1.0, entity.probability or 0.0)

    kept: list[Entity] = []
    for entity in sorted(entities, key=rank, reverse=True):
        if all(entity.end <= other.start or other.end <= entity.start for other in kept):
            kept.append(entity)
    return sorted(kept, key=lambda e: e.start)
