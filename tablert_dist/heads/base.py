"""What every head has in common: stages that an engine runs on arrays, and the scheme that turns their outputs into
sentences. An engine is the seam between torch and onnxruntime."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tablert_dist.heads.rules import Rules
from tablert_dist.heads.table_encoding import TableLoss
from tablert_dist.heads.temperatures import Temperatures
from tablert_dist.schema import Sentence
from tablert_dist.tags import TagSet
from tablert_dist.tokenization import EncodedSentence

Arrays = Mapping[str, NDArray[Any]]


Axes = tuple[str, ...]


class Engine(Protocol):
    """Runs a stage of a model on arrays; two engines can differ only in floats."""

    def offers(self, stage: str) -> frozenset[str]:
        """Return the stage's `answers` that cost less here than the logits that they sum up; often none."""
        ...

    def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        """Return the stage's outputs by name, or those of `outputs`, answers too.

        Raises OutOfMemory where they do not fit into the device's memory.
        """
        ...


class DeviceEngine(Engine, Protocol):
    """An engine that knows its device."""

    @property
    def max_cells(self) -> int:
        """Table cells (words squared, padded) of a batch that suits the device."""
        ...

    @property
    def at_once(self) -> int:
        """Batches that are worth having in hand at once, each in a thread: one is decoded while another is computed."""
        ...


@dataclass(frozen=True)
class Stage:
    """One graph of a model: its inputs and outputs by name, with the names of their axes.

    An axis in lower case is dynamic and as long wherever its name stands; one in capitals is fixed by the model.
    """

    inputs: Mapping[str, Axes]
    outputs: Mapping[str, Axes]
    floats: frozenset[str] = frozenset()
    """Inputs that are fp32; the others are int64."""
    answers: Mapping[str, Axes] = field(default_factory=dict)
    """Outputs that sum up others and that a graph may lack: those of earlier versions do."""

    @property
    def fixed(self) -> set[tuple[str, int]]:
        """(name, position) of the axes that the model fixes."""
        both = (*self.inputs.items(), *self.outputs.items())
        return {(name, i) for name, axes in both for i, axis in enumerate(axes) if axis.isupper()}


SUBWORDS: dict[str, Axes] = {
    "input_ids": ("batch", "subwords"),
    "attention_mask": ("batch", "subwords"),
    "word_subwords": ("batch", "words", "pieces"),
}
"""What the encoder reads: `TableInputs.arrays()`."""


RELATION_TAGS, RELATION_PROBABILITIES = "relation_tags", "relation_probabilities"
RELATION_ANSWERS: dict[str, Axes] = {
    RELATION_TAGS: ("batch", "words", "words"),
    RELATION_PROBABILITIES: ("batch", "words", "words"),
}
"""What decoding reads of `relation_logits` [B, N, N, R]: the largest one's tag (int32) and its softmax (fp32), of logits
divided by the model's temperature of cells."""


WORDS = "words"
"""The encoder as a stage of its own, where the head needs several."""


ENCODER = Stage(SUBWORDS, {"word_vectors": ("batch", "words", "H")})


LENGTHS = {"TWO": 2, "FOUR": 4}
"""Axes whose length is in their name."""
Masks = Mapping[str, NDArray[np.bool_]]


class Scheme(Protocol):
    """How sentences become a head's targets, and what its stages give becomes sentences."""

    stages: Mapping[str, Stage]
    """In the order in which they are called; the first reads `SUBWORDS`."""
    has_room: bool
    """Whether `targets` can be padded, so that batches of different sizes have the same shapes."""
    temperatures: Temperatures
    """Of the probabilities that `decode` gives; they change no label."""
    rules: Rules | None
    """That the relations of a sentence keep; None: each pair has its most probable one."""

    def prepare(self, encoded: EncodedSentence) -> EncodedSentence:
        """The sentence as the encoder is to give it: with or without a row for the sentence token."""
        ...

    def representable(self, sentence: Sentence, tags: TagSet) -> tuple[Sentence, TableLoss]:
        """The part of a sentence that the scheme can hold, and what it loses."""
        ...

    def targets(
        self,
        sentences: Sequence[Sentence],
        tags: TagSet,
        rngs: Sequence[np.random.Generator],
        room: tuple[int, int] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Gold of one batch by name; `rngs` has a source of random numbers for each sentence.

        `room`: sentences and words to pad to, where `has_room`; without it the batch's own.
        """
        ...

    def decode(self, engine: Engine, inputs: Arrays, words: Sequence[Sequence[str]], tags: TagSet) -> list[Sentence]:
        """A sentence for each list of words, with probabilities. `inputs` are those of the first stage."""
        ...

    def sizes(self, tags: TagSet) -> Mapping[str, int]:
        """Lengths of the axes in capitals that the types fix, by the axis' name."""
        ...

    def valid_mask(self, stage: str, inputs: Arrays, outputs: Arrays) -> Masks:
        """By output, its cells that mean something (without its last axis): what two engines must agree on."""
        ...


def lost_to_overlap(scheme: Scheme, sentence: Sentence, tags: TagSet) -> int:
    """Return how many entities the scheme loses because of others in the sentence: each alone it could hold."""
    alone = (scheme.representable(Sentence(sentence.words, (e,)), tags)[1].entities for e in set(sentence.entities))
    return scheme.representable(sentence, tags)[1].entities - sum(alone)


def word_mask(inputs: Arrays) -> NDArray[np.bool_]:
    """[B, N] of `word_subwords`: where there is a word."""
    return np.asarray((inputs["word_subwords"] >= 0).any(-1))
