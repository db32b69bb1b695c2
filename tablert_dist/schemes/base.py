"""The contract of a scheme: stages, targets, decoding, and what it can hold at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tablert_dist.engines import Arrays, Engine, Stage
from tablert_dist.heads.table_encoding import TableLoss
from tablert_dist.schema import Sentence
from tablert_dist.tags import TagSet
from tablert_dist.tokenization import EncodedSentence

Masks = Mapping[str, NDArray[np.bool_]]


class Scheme(Protocol):
    """How sentences become a head's targets, and what its stages give becomes sentences."""

    stages: Mapping[str, Stage]
    """In the order in which they are called; the first reads `SUBWORDS`."""

    def prepare(self, encoded: EncodedSentence) -> EncodedSentence:
        """The sentence as the encoder is to give it: with or without a row for the sentence token."""
        ...

    def representable(self, sentence: Sentence, tags: TagSet) -> tuple[Sentence, TableLoss]:
        """The part of a sentence that the scheme can hold, and what it loses."""
        ...

    def targets(
        self, sentences: Sequence[Sentence], tags: TagSet, draws: Sequence[np.random.Generator]
    ) -> dict[str, NDArray[Any]]:
        """Gold of one batch by name; `draws` has a source of random numbers for each sentence."""
        ...

    def decode(self, engine: Engine, inputs: Arrays, words: Sequence[Sequence[str]], tags: TagSet) -> list[Sentence]:
        """A sentence for each list of words, with probabilities. `inputs` are those of the first stage."""
        ...

    def meaningful(self, stage: str, inputs: Arrays, outputs: Arrays) -> Masks:
        """By output, its cells that mean something (without its last axis): what two engines must agree on."""
        ...


def lost_to_overlap(scheme: Scheme, sentence: Sentence, tags: TagSet) -> int:
    """Return how many entities the scheme loses because of others in the sentence: each alone it could hold."""
    alone = (scheme.representable(Sentence(sentence.words, (e,)), tags)[1].entities for e in set(sentence.entities))
    return scheme.representable(sentence, tags)[1].entities - sum(alone)


def word_mask(inputs: Arrays) -> NDArray[np.bool_]:
    """[B, N] of `word_subwords`: where there is a word."""
    return np.asarray((inputs["word_subwords"] >= 0).any(-1))
