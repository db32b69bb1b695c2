"""What runs a model's stages on arrays, and what a stage takes and gives: the seam between torch and onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Axes = tuple[str, ...]


class Engine(Protocol):
    """Runs a stage of a model on arrays; two engines can differ only in floats."""

    def run(self, stage: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """The stage's outputs by name. Raises OutOfMemory where they do not fit into the device's memory."""
        ...


class DeviceEngine(Engine, Protocol):
    """An engine that knows its device."""

    @property
    def max_cells(self) -> int:
        """Table cells (words squared, padded) of a batch that suits the device."""
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
WORDS = "words"
"""The encoder as a stage of its own, where the head needs several."""
ENCODER = Stage(SUBWORDS, {"word_vectors": ("batch", "words", "H")})
