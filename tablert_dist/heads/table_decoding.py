"""Logits to entities and relations with their probabilities (docs/concepts.md#decoding); the inverse of encoding.

A batch at a time. Axes: B batch, N words, E entity tags, R relation tags, K entities, P pairs of entities, C cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tablert_dist.heads.base import RELATION_ANSWERS, RELATION_PROBABILITIES, RELATION_TAGS, Arrays, Engine
from tablert_dist.heads.rules import Rules
from tablert_dist.heads.sequences import best_sequences, softmax
from tablert_dist.heads.temperatures import NEUTRAL, Temperatures
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.tags import Floats, Ints, RelationAnswers, TableLogits, TagSet

Bools = NDArray[np.bool_]
Relations = Floats | RelationAnswers
"""Logits [B, N, N, R], or answers [B, N, N]."""


def run_table(
    engine: Engine, stage: str, arrays: Arrays, others: Sequence[str] = (), whole: bool = False
) -> tuple[dict[str, NDArray[Any]], Relations]:
    """Return a stage's outputs `others`, and its relations: as answers where the engine offers them, else as logits.

    Answers are two numbers a cell, logits R of them; from a GPU each is copied. `whole`: logits whatever is offered.
    """
    if whole or not set(RELATION_ANSWERS) <= engine.offers(stage):
        found = engine.run(stage, arrays)
        return found, found["relation_logits"]
    found = engine.run(stage, arrays, (*others, *RELATION_ANSWERS))
    return found, RelationAnswers(found[RELATION_TAGS], found[RELATION_PROBABILITIES])


def decode(
    words: Sequence[Sequence[str]],
    logits: TableLogits,
    tags: TagSet,
    constrained: bool = False,
    temperatures: Temperatures = NEUTRAL,
    rules: Rules | None = None,
) -> list[Sentence]:
    """Return a sentence for each list of words; `logits` may be padded beyond them.

    Entities by BILOU, a relation for each pair of them read at the cell of their last words (paper §3.2). `rules`, which
    need logits of relations, choose between these and their cells' other labels.
    """
    lengths = lengths_of(words)
    chosen = best_sequences(logits.entity, lengths, tags) if constrained else logits.entity.argmax(-1)
    spans = spans_of(chosen, lengths, tags)
    found = entities_of(spans, logits.entity, chosen, tags, temperatures)
    return sentences_of(words, spans, found, logits.relation, tags, temperatures, rules)


def lengths_of(words: Sequence[Sequence[str]]) -> Ints:
    """[B] words in each sentence."""
    return np.fromiter(map(len, words), np.int64, len(words))


@dataclass(frozen=True)
class Spans:
    """Entities of a batch, in the order of their sentences and words: [K] each."""

    sentence: Ints
    start: Ints
    end: Ints
    """Exclusive."""
    type: Ints
    """Place in the schema's entity types."""

    @property
    def words(self) -> tuple[Ints, Ints]:
        """Sentence and place of every word of every span, one span after the other."""
        lengths = self.end - self.start
        return np.repeat(self.sentence, lengths), _counting(self.start, lengths)

    def products(self, probability_W: Floats) -> Floats:
        """[K] the product over each span's words, from one number for each of `words`."""
        if not len(self.start):
            return probability_W
        lengths = self.end - self.start
        return np.asarray(np.multiply.reduceat(probability_W, np.cumsum(lengths) - lengths))


def _counting(starts: Ints, lengths: Ints) -> Ints:
    """start, start + 1, …, `length` numbers for each start, one run after the other."""
    shifts = starts - (np.cumsum(lengths) - lengths)
    return np.repeat(shifts, lengths) + np.arange(int(lengths.sum()))


def spans_of(tags_BN: Ints, lengths_B: Ints, tags: TagSet) -> Spans:
    """Read spans: one closes at L or U, opens after the last O or closed span, has its last word's type; others are dropped."""
    known = _lookup(tags)
    N = tags_BN.shape[1]
    places = np.arange(N)
    # The place after the last word before each that ends something: where a span that closes there began.
    after = np.where(known.ends[tags_BN], places + 1, 0)
    begins = np.zeros_like(after)
    np.maximum.accumulate(after[:, :-1], 1, out=begins[:, 1:])
    sentence, last = np.nonzero(known.closes[tags_BN] & (places < lengths_B[:, None]))
    return Spans(sentence, begins[sentence, last], last + 1, known.entity_type[tags_BN[sentence, last]])


def entities_of(
    spans: Spans, logits_BNE: Floats, tags_BN: Ints, tags: TagSet, temperatures: Temperatures
) -> tuple[Entity, ...]:
    """The spans as entities; a probability is the product over the words of the softmax of the tags that were chosen."""
    # Only words of entities: most are of none.
    logits, chosen = logits_BNE[spans.words], tags_BN[spans.words]
    names = tags.schema.entity_types
    kinds = [names[kind] for kind in spans.type.tolist()]
    columns: list[Sequence[Any]] = [spans.start.tolist(), spans.end.tolist(), kinds]
    for temperature in temperatures.of_tags:
        columns.append(spans.products(probability_of(logits, chosen, temperature)).tolist())
    return tuple(map(Entity, *columns))


def sentences_of(
    words: Sequence[Sequence[str]],
    spans: Spans,
    entities: tuple[Entity, ...],
    relation: Relations,
    tags: TagSet,
    temperatures: Temperatures,
    rules: Rules | None = None,
) -> list[Sentence]:
    """The spans' entities; for each pair of them, in the order of their words, the tag at the cell of their last words, or
    the one that the rules leave."""
    relations, owner = _relations(entities, spans, relation, tags, temperatures.cells, rules)
    ends = np.arange(len(words) + 1)
    of_entities = np.searchsorted(spans.sentence, ends).tolist()
    of_relations = np.searchsorted(owner, ends).tolist()
    return [
        Sentence.unchecked(
            tuple(w),
            entities[of_entities[b] : of_entities[b + 1]],
            relations[of_relations[b] : of_relations[b + 1]],
        )
        for b, w in enumerate(words)
    ]


def _relations(
    entities: Sequence[Entity],
    spans: Spans,
    relation: Relations,
    tags: TagSet,
    temperature: float,
    rules: Rules | None,
) -> tuple[tuple[Relation, ...], Ints]:
    """The relations of all sentences, and the sentence of each."""
    known, names = _lookup(tags), tags.schema.relation_types
    first, second = _pairs(spans.sentence)
    if not len(first) or not names:
        return (), np.zeros(0, np.int64)
    last, sentence = spans.end - 1, spans.sentence[first]
    left, odds = known.left, None
    if rules is None:
        tag, probability = cells_of(relation, sentence, last[first], last[second], temperature)
        related = np.flatnonzero(tag)
        tag, probability = tag[related], probability[related]
    else:
        assert not isinstance(relation, RelationAnswers), "rules choose between all labels of a cell"
        logits = relation[sentence, last[first], last[second]]
        related, tag, odds = rules.of_cells(logits, sentence, first, second, spans.type)
        probability, left = probability_of(logits[related], tag, temperature), rules.tag_left
    first, second = first[related], second[related]
    turned = left[tag]
    heads, tails = np.where(turned, second, first).tolist(), np.where(turned, first, second).tolist()
    kept = [None] * len(related) if odds is None else odds.tolist()
    found = zip(heads, tails, known.relation_type[tag].tolist(), probability.tolist(), kept, strict=True)
    return tuple(Relation(entities[h], entities[t], names[kind], *rest) for h, t, kind, *rest in found), spans.sentence[
        first
    ]


def _pairs(sentence_K: Ints) -> tuple[Ints, Ints]:
    """[P] each: the pairs of entities of the same sentence, a first one with every later one."""
    places = np.arange(len(sentence_K))
    later = np.searchsorted(sentence_K, sentence_K, side="right") - places - 1
    return np.repeat(places, later), _counting(places + 1, later)


def cells_of(
    relation: Relations, sentence_C: Ints, first_C: Ints, second_C: Ints, temperature: float
) -> tuple[Ints, Floats]:
    """The most probable relation tag [C] at each cell of two words, and its probability [C]. That of answers has been
    computed with the temperature: the engine's."""
    found = relation[sentence_C, first_C, second_C]
    if isinstance(found, RelationAnswers):
        return found.tags.astype(np.int64), found.probabilities
    probabilities = softmax(found)
    # Not of the logits: of two that differ too little for their probabilities to differ, the first one counts.
    tag = probabilities.argmax(-1)
    if temperature != 1.0:
        return tag, probability_of(found, tag, temperature)
    return tag, np.take_along_axis(probabilities, tag[:, None], -1)[:, 0]


def probability_of(logits: Floats, chosen: Ints, temperature: float) -> Floats:
    """The softmax, over the last axis, of the label that was chosen in each row: by the logits as they are, whatever the
    temperature."""
    return np.take_along_axis(softmax(logits, temperature), chosen[..., None], -1)[..., 0]


@dataclass(frozen=True)
class _Lookup:
    """What each tag means, by its id."""

    closes: Bools  # [E] L and U
    ends: Bools  # [E] O, L and U: what follows opens a span
    entity_type: Ints  # [E] place in the schema; 0 for O
    relation_type: Ints  # [R] place in the schema; 0 for none
    left: Bools  # [R] the head comes second


@lru_cache(maxsize=64)
def _lookup(tags: TagSet) -> _Lookup:
    schema = tags.schema
    entity = [tags.entity_of(i) for i in range(len(tags.entity_tags))]
    relation = [tags.relation_of(i) or (None, "right") for i in range(len(tags.relation_tags))]
    return _Lookup(
        np.asarray([prefix in {"L", "U"} for prefix, _ in entity]),
        np.asarray([prefix in {"O", "L", "U"} for prefix, _ in entity]),
        np.asarray([schema.entity_types.index(kind) if kind else 0 for _, kind in entity]),
        np.asarray([schema.relation_types.index(kind) if kind else 0 for kind, _ in relation]),
        np.asarray([way == "left" for _, way in relation]),
    )


def triple_probability(relation: Relation) -> float | None:
    """The relation's probability times both entities'; None where any is unknown."""
    own, head, tail = relation.probability, relation.head.probability, relation.tail.probability
    return None if own is None or head is None or tail is None else own * head * tail
