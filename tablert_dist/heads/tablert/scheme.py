"""TablERT (paper §2.2): entity tags from left to right, then every relation at once. Its table is TablERT-CNN's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tablert_dist.heads.base import ENCODER, RELATION_ANSWERS, WORDS, Arrays, Engine, Masks, Stage, word_mask
from tablert_dist.heads.cnn.scheme import upper_cells
from tablert_dist.heads.sequences import log_softmax
from tablert_dist.heads.table_decoding import entities_of, lengths_of, run_table, sentences_of, spans_of
from tablert_dist.heads.table_encoding import TableLabels
from tablert_dist.schema import Sentence
from tablert_dist.tags import PREFIXES, Floats, Ints, TagSet

TAG_STEP, RELATIONS = "tag_step", "relations"
CONTINUES = ("B", "I")
"""Prefixes after which an entity is open."""
INSIDE = ("I", "L")
"""Prefixes of words that go on with an entity."""

STAGES: Mapping[str, Stage] = {
    WORDS: ENCODER,
    TAG_STEP: Stage(
        {"word": ("rows", "H"), "open_entity": ("rows", "H"), "previous_tag": ("rows",)},
        {"tag_logits": ("rows", "E")},
        frozenset({"word", "open_entity"}),
    ),
    RELATIONS: Stage(
        {"word_vectors": ("batch", "words", "H"), "entity_tags": ("batch", "words")},
        {"relation_logits": ("batch", "words", "words", "R")},
        frozenset({"word_vectors"}),
        RELATION_ANSWERS,
    ),
}


class TablertScheme(TableLabels):
    """`beam`: sequences of tags that are kept at each word; 1 = greedy. `span`: the words before a word that are pooled for
    it, `previous` or `open` (`TablertConfig`)."""

    def __init__(self, beam: int = 1, span: str = "previous") -> None:
        self.stages = STAGES
        self.beam, self.span = beam, span

    def targets(
        self,
        sentences: Sequence[Sentence],
        tags: TagSet,
        rngs: Sequence[np.random.Generator] = (),
        room: tuple[int, int] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """`entity_tags` [B, N], `relation_tags` [B, N, N]; `open_from` [B, N]: where the words begin that are pooled for a
        word, the word's own place where there are none."""
        gold = super().targets(sentences, tags, rngs, room)
        from_ = open_from if self.span == "open" else span_from
        return {**gold, "open_from": from_(gold["entity_tags"])}

    def decode(self, engine: Engine, inputs: Arrays, words: Sequence[Sequence[str]], tags: TagSet) -> list[Sentence]:
        """As `Scheme.decode`."""
        vectors = engine.run(WORDS, inputs)["word_vectors"]
        lengths = lengths_of(words)
        chosen, logits = self._tag(engine, vectors, lengths)
        arrays = {"word_vectors": vectors, "entity_tags": chosen}
        _, relation = run_table(engine, RELATIONS, arrays, whole=self.rules is not None)
        spans = spans_of(chosen, lengths, tags)
        entities = entities_of(spans, logits, chosen, tags, self.temperatures)
        return sentences_of(words, spans, entities, relation, tags, self.temperatures, self.rules)

    def _tag(self, engine: Engine, vectors_BNH: Floats, lengths_B: Ints) -> tuple[Ints, Floats]:
        """Tags [B, N] of the best sequence, and the logits [B, N, E] that they were chosen by. Beyond a sentence's end all tags
        are O."""
        B, N, H = vectors_BNH.shape
        W = self.beam
        scores = np.full((B, W), -np.inf)
        # All sequences begin alike: but for one they would fill the beam with copies.
        scores[:, 0] = 0.0
        previous = np.zeros((B, W), np.int64)
        opened = np.zeros((B, W, H), np.float32)
        path = np.zeros((B, W, N), np.int64)
        seen: list[tuple[Ints, Floats]] = []
        rows = np.arange(B)[:, None]
        for i in range(N):
            word = np.repeat(vectors_BNH[:, None, i], W, 1)
            arrays = {
                "word": np.ascontiguousarray(word.reshape(B * W, H), np.float32),
                "open_entity": np.ascontiguousarray(opened.reshape(B * W, H), np.float32),
                "previous_tag": previous.reshape(B * W),
            }
            logits = engine.run(TAG_STEP, arrays)["tag_logits"].reshape(B, W, -1)
            E = logits.shape[-1]
            total = (scores[:, :, None] + log_softmax(logits)).reshape(B, W * E)
            best = np.argsort(-total, 1, kind="stable")[:, :W]
            going = (i < lengths_B)[:, None]
            source = np.where(going, best // E, np.arange(W))
            tag = np.where(going, best % E, 0)
            scores = np.where(going, np.take_along_axis(total, best, 1), scores)
            path = path[rows, source]
            path[:, :, i] = tag
            seen.append((source, logits))
            pool = _opened if self.span == "open" else _spanned
            opened = pool(opened[rows, source], previous[rows, source], tag, word)
            previous = tag
        winner = scores.argmax(1)
        every = np.arange(B)
        return path[every, winner], _followed(seen, winner)

    def valid_mask(self, stage: str, inputs: Arrays, outputs: Arrays) -> Masks:
        """Words; rows; cells i < j."""
        if stage == WORDS:
            return {"word_vectors": word_mask(inputs)}
        if stage == TAG_STEP:
            return {"tag_logits": np.ones(len(inputs["previous_tag"]), bool)}
        # A padded word's vector is zero.
        return {"relation_logits": upper_cells(np.asarray(inputs["word_vectors"].any(-1)))}


def _followed(seen: Sequence[tuple[Ints, Floats]], winner_B: Ints) -> Floats:
    """The logits [B, N, E] that the winning sequences were chosen by. `seen` has for each word which earlier sequence each
    one goes on [B, W], and the logits [B, W, E] after each earlier one."""
    every, place, found = np.arange(len(winner_B)), winner_B, []
    for source_BW, logits_BWE in reversed(seen):
        place = source_BW[every, place]
        found.append(logits_BWE[every, place])
    return np.stack(found[::-1], 1)


def continues(tags: Ints) -> NDArray[np.bool_]:
    """Whether an entity is open after each of these tags."""
    return _have(tags, CONTINUES)


def _have(tags: Ints, prefixes: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each tag has one of the prefixes."""
    prefix = np.where(tags > 0, (tags - 1) % len(PREFIXES), -1)
    return np.isin(prefix, [PREFIXES.index(p) for p in prefixes])


def open_from(entity_tags_BN: Ints) -> Ints:
    """[B, N]: the first word of the entity that is open before each word; the word's own place where there is none."""
    N = entity_tags_BN.shape[1]
    after = continues(entity_tags_BN)
    begin = np.zeros_like(entity_tags_BN)
    for i in range(1, N):
        begin[:, i] = np.where(after[:, i - 1], begin[:, i - 1], i)
    return begin


def _opened(opened_BWH: Floats, previous_BW: Ints, tag_BW: Ints, word_BWH: Floats) -> Floats:
    """The pooled words of the entity that is open after `tag`: the one before goes on where `previous` left it open."""
    joined = np.where(continues(previous_BW)[..., None], np.maximum(opened_BWH, word_BWH), word_BWH)
    return np.asarray(np.where(continues(tag_BW)[..., None], joined, 0.0), np.float32)


def span_from(entity_tags_BN: Ints) -> Ints:
    """[B, N]: the first word of the entity that the word before each word belongs to, that word itself where it belongs to
    none; 0 for the first word."""
    begin = np.zeros_like(entity_tags_BN)
    goes_on = _goes_on(entity_tags_BN[:, :-1], entity_tags_BN[:, 1:])
    for i in range(1, entity_tags_BN.shape[1] - 1):
        begin[:, i + 1] = np.where(goes_on[:, i - 1], begin[:, i], i)
    return begin


def _goes_on(previous: Ints, tag: Ints) -> NDArray[np.bool_]:
    """Whether a word with `tag` belongs to the entity of the word before it."""
    return continues(previous) & _have(tag, INSIDE)


def _spanned(opened_BWH: Floats, previous_BW: Ints, tag_BW: Ints, word_BWH: Floats) -> Floats:
    """The pooled words of the entity that the word belongs to, as far as it; the word alone where it belongs to none."""
    goes_on = _goes_on(previous_BW, tag_BW)[..., None]
    return np.asarray(np.where(goes_on, np.maximum(opened_BWH, word_BWH), word_BWH), np.float32)
