"""SpERT (Eberts and Ulges 2020): every span up to a length gets a type or none, every ordered pair of them relations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tablert_dist.heads.base import ENCODER, WORDS, Arrays, Engine, Masks, Stage, word_mask
from tablert_dist.heads.rules import Rules
from tablert_dist.heads.sequences import softmax
from tablert_dist.heads.table_decoding import probability_of
from tablert_dist.heads.table_encoding import TableLoss
from tablert_dist.heads.temperatures import NEUTRAL, Temperatures
from tablert_dist.schema import Entity, Relation, Sentence, distinct
from tablert_dist.tags import IGNORE, Floats, Ints, TagSet
from tablert_dist.tokenization import EncodedSentence

SPANS, RELATIONS = "spans", "relations"
SURE = 1e-12
"""Log odds are of probabilities that keep this far from 0 and 1."""
PAIRS_AT_ONCE = 4096
"""Pairs of spans in one call: a head that knows nothing yet may find a hundred entities in a sentence."""

STAGES: Mapping[str, Stage] = {
    WORDS: ENCODER,
    SPANS: Stage(
        {"word_vectors": ("batch", "words", "H"), "spans": ("batch", "spans", "TWO")},
        {"entity_logits": ("batch", "spans", "T")},
        frozenset({"word_vectors"}),
    ),
    RELATIONS: Stage(
        {"word_vectors": ("batch", "words", "H"), "pairs": ("batch", "pairs", "FOUR")},
        {"relation_logits": ("batch", "pairs", "R")},
        frozenset({"word_vectors"}),
    ),
}


class SpertScheme:
    """`max_span`: words of the longest span that is read; `negatives`: spans, and pairs, without a label that a training
    sentence gets; `threshold`: least probability of a relation."""

    has_room = False
    temperatures: Temperatures = NEUTRAL
    rules: Rules | None = None

    def __init__(self, max_span: int = 10, negatives: int = 100, threshold: float = 0.4) -> None:
        self.stages = STAGES
        self.max_span, self.negatives, self.threshold = max_span, negatives, threshold

    def prepare(self, encoded: EncodedSentence) -> EncodedSentence:
        """With the encoder's first token, which stands for the sentence, as a word before the others."""
        zero = np.zeros(1, np.int64)
        return replace(
            encoded, first=np.concatenate([zero, encoded.first]), count=np.concatenate([zero + 1, encoded.count])
        )

    def sizes(self, tags: TagSet) -> Mapping[str, int]:
        """As `Scheme.sizes`: a span has a type or none, a pair any of the relations."""
        return {"T": 1 + len(tags.schema.entity_types), "R": len(tags.schema.relation_types)}

    def representable(self, sentence: Sentence, tags: TagSet) -> tuple[Sentence, TableLoss]:
        """All but entities that are too long or a span's second type; overlaps and several relations on a pair are no
        loss."""
        by_span = {(e.start, e.end): e for e in reversed(sentence.entities) if e.end - e.start <= self.max_span}
        kept, symmetric = set(by_span.values()), tags.schema.symmetric
        among = [r for r in sentence.relations if r.head in kept and r.tail in kept]
        relations = tuple(r for r in among if r.head != r.tail)
        loss = TableLoss(
            entities=len(set(sentence.entities) - kept),
            self_relations=len(set(among)) - len(set(relations)),
            of_lost_entities=len(distinct(sentence.relations, symmetric)) - len(distinct(among, symmetric)),
        )
        return replace(sentence, entities=tuple(e for e in sentence.entities if e in kept), relations=relations), loss

    def targets(
        self,
        sentences: Sequence[Sentence],
        tags: TagSet,
        rngs: Sequence[np.random.Generator],
        room: tuple[int, int] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Gold spans and pairs, and some without a label: `spans` [B, Q, 2], `span_types` [B, Q] (0 = none, IGNORE =
        padding), `pairs` [B, M, 4] (head and tail), `pair_labels` [B, M, R] (0, 1; IGNORE = padding).

        Pairs without a label are pairs of gold entities. A span's words count from 1, for 0 is the sentence token.
        """
        assert room is None, "the number of spans and pairs is each batch's own"
        parts = [self._examples(s, tags, rng) for s, rng in zip(sentences, rngs, strict=True)]
        kinds = len(tags.schema.relation_types)
        return {
            "spans": _padded([p[0] for p in parts], 0, (2,)),
            "span_types": _padded([p[1] for p in parts], IGNORE, ()),
            "pairs": _padded([p[2] for p in parts], 0, (4,)),
            "pair_labels": _padded([p[3] for p in parts], IGNORE, (kinds,)),
        }

    def _examples(self, sentence: Sentence, tags: TagSet, rng: np.random.Generator) -> tuple[Ints, Ints, Ints, Ints]:
        types = tags.schema.entity_types
        # What is too long to be read is learned all the same; a span's second type is not.
        sentence, _ = SpertScheme(max_span=len(sentence.words)).representable(sentence, tags)
        gold = {(e.start, e.end): 1 + types.index(e.type) for e in sentence.entities}
        without = [span for span in self._all_spans(len(sentence.words)) if span not in gold]
        chosen = [without[i] for i in _some(len(without), self.negatives, rng)]
        spans = np.asarray([*gold, *chosen], np.int64).reshape(-1, 2)
        kinds = np.asarray([*gold.values(), *(0 for _ in chosen)], np.int64)
        labels: dict[tuple[int, ...], Ints] = {}
        for relation in sentence.relations:
            ends = [(relation.head, relation.tail)]
            if relation.type in tags.schema.symmetric:
                ends.append((relation.tail, relation.head))
            for head, tail in ends:
                row = labels.setdefault(_pair(head, tail), np.zeros(len(tags.schema.relation_types), np.int64))
                row[tags.schema.relation_types.index(relation.type)] = 1
        entities = list(dict.fromkeys(sentence.entities))
        unrelated = [p for a in entities for b in entities if a is not b and (p := _pair(a, b)) not in labels]
        picked = [unrelated[i] for i in _some(len(unrelated), self.negatives, rng)]
        pairs = np.asarray([*labels, *picked], np.int64).reshape(-1, 4)
        nothing = np.zeros((len(picked), len(tags.schema.relation_types)), np.int64)
        return spans + 1, kinds, pairs + 1, np.concatenate([*(row[None] for row in labels.values()), nothing])

    def _all_spans(self, words: int) -> list[tuple[int, int]]:
        return [(a, a + n) for n in range(1, min(self.max_span, words) + 1) for a in range(words - n + 1)]

    def decode(self, engine: Engine, inputs: Arrays, words: Sequence[Sequence[str]], tags: TagSet) -> list[Sentence]:
        """As `Scheme.decode`. Entities may overlap, but have one type each."""
        vectors = engine.run(WORDS, inputs)["word_vectors"]
        spans = [np.asarray(self._all_spans(len(w)), np.int64) + 1 for w in words]
        logits = engine.run(SPANS, {"word_vectors": vectors, "spans": _padded(spans, 0, (2,), filler=(0, 1))})
        found = []
        for b, w in enumerate(words):
            own = logits["entity_logits"][b, : len(spans[b])]
            kinds = softmax(own).argmax(-1)
            places = np.flatnonzero(kinds)
            names = [tags.schema.entity_types[kind - 1] for kind in kinds[places].tolist()]
            starts, ends = (spans[b][places] - 1).T.tolist()
            chances = (probability_of(own[places], kinds[places], t).tolist() for t in self.temperatures.of_tags)
            entities = map(Entity, starts, ends, names, *chances)
            found.append(Sentence.unchecked(tuple(w), tuple(sorted(entities)), ()))
        related = self._related(engine, vectors, found, tags)
        whole = [replace(s, relations=tuple(relations)) for s, relations in zip(found, related, strict=True)]
        return whole if self.rules is None else [self.rules.settle(sentence) for sentence in whole]

    def _related(
        self, engine: Engine, vectors: Floats, sentences: Sequence[Sentence], tags: TagSet
    ) -> Iterator[list[Relation]]:
        """The relations of each sentence, in order."""
        for b, sentence in enumerate(sentences):
            pairs = [(a, c) for a in sentence.entities for c in sentence.entities if a is not c]
            best: dict[tuple[Entity, Entity, str], tuple[float, float]] = {}
            for i in range(0, len(pairs), PAIRS_AT_ONCE):
                part = pairs[i : i + PAIRS_AT_ONCE]
                arrays: Arrays = {
                    "word_vectors": vectors[b : b + 1, : 1 + len(sentence.words)],
                    "pairs": np.asarray([_pair(a, c) for a, c in part], np.int64)[None] + 1,
                }
                logits = engine.run(RELATIONS, arrays)["relation_logits"][0]
                probabilities = _sigmoid(logits, self.temperatures.cells)
                # The threshold is of the probability as the network has it: a temperature changes no label.
                for row, column in zip(*np.nonzero(_sigmoid(logits) >= self.threshold), strict=True):
                    kind, (head, tail) = tags.schema.relation_types[column], part[row]
                    if kind in tags.schema.symmetric:
                        head, tail = min(head, tail), max(head, tail)
                    key = (head, tail, kind)
                    found = float(logits[row, column]), float(probabilities[row, column])
                    best[key] = max(best.get(key, found), found)
            yield [
                Relation(*key, chance, None if self.rules is None else self._odds(logit))
                for key, (logit, chance) in best.items()
            ]

    def _odds(self, logit: float) -> float:
        """Log odds beyond those that the threshold asks for: where it decides, a relation and none weigh the same."""
        least = min(max(self.threshold, SURE), 1 - SURE)
        return max(0.0, logit - math.log(least / (1 - least)))

    def valid_mask(self, stage: str, inputs: Arrays, outputs: Arrays) -> Masks:
        """Words; spans that are not padding; pairs."""
        if stage == WORDS:
            return {"word_vectors": word_mask(inputs)}
        if stage == SPANS:
            # Padding's span is the sentence token.
            return {"entity_logits": np.asarray(inputs["spans"][..., 0] > 0)}
        return {"relation_logits": np.ones(inputs["pairs"].shape[:2], bool)}


def _pair(head: Entity, tail: Entity) -> tuple[int, int, int, int]:
    return head.start, head.end, tail.start, tail.end


def _some(there: int, most: int, rng: np.random.Generator) -> list[int]:
    """At most `most` of `there` indices, drawn without repetition."""
    return list(range(there)) if there <= most else rng.choice(there, most, replace=False).tolist()


def _padded(parts: Sequence[Ints], fill: int, tail: tuple[int, ...], filler: tuple[int, ...] | None = None) -> Ints:
    """Arrays of differing length as one batch; at least one row long, for no axis of a graph may be empty."""
    longest = max(1, *(len(p) for p in parts)) if parts else 1
    out = np.full((len(parts), longest, *tail), fill, np.int64)
    if filler is not None:
        out[...] = filler
    for b, part in enumerate(parts):
        out[b, : len(part)] = part
    return out


def _sigmoid(logits: Floats, temperature: float = 1.0) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logits.astype(np.float64) / temperature)))
