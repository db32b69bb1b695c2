"""A torch model as an engine: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from tablert_dist.gpu import cells_on, in_memory, is_cpu_path
from tablert_dist.heads.base import RELATION_ANSWERS, RELATION_PROBABILITIES, RELATION_TAGS, WORDS, Arrays
from tablert_dist.model.model import TableModel


class TorchEngine:
    """Runs the model in evaluation mode on its device."""

    def __init__(self, model: TableModel) -> None:
        self.model = model.eval()
        self.device = next(model.parameters()).device

    @property
    def max_cells(self) -> int:
        """As `DeviceEngine.max_cells`."""
        return cells_on(self.device)

    @property
    def at_once(self) -> int:
        """As `DeviceEngine.at_once`."""
        return 1

    def offers(self, stage: str) -> frozenset[str]:
        """As `Engine.offers`."""
        return offered(self.model, stage, self.device)

    def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        """As `Engine.run`."""
        names = self.model.scheme.stages[stage].inputs
        with in_memory(self.device), torch.inference_mode():
            found = self.model.stage(stage)(*(torch.from_numpy(arrays[name]).to(self.device) for name in names))
            return named(self.model, stage, found, outputs)


class FeatureEngine:
    """The model in its present mode on one batch: its first stage takes the batch's features, kept word vectors too."""

    def __init__(self, model: TableModel, features: Sequence[Tensor]) -> None:
        self.model, self.features = model, features

    def offers(self, stage: str) -> frozenset[str]:
        """As `Engine.offers`."""
        return offered(self.model, stage, self.features[0].device)

    def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        """As `Engine.run`; the arrays of the first stage are not looked at."""
        model, device = self.model, self.features[0].device
        with torch.inference_mode():
            if stage == WORDS:
                found = (self.features[0] if model.encoder.frozen else model.encoder(*self.features),)
            elif stage == next(iter(model.scheme.stages)):
                found = model.trainable(*self.features)
            else:
                names = model.scheme.stages[stage].inputs
                found = model.stage(stage)(*(torch.from_numpy(arrays[name]).to(device) for name in names))
            return named(model, stage, found, outputs)


def offered(model: TableModel, stage: str, device: torch.device) -> frozenset[str]:
    """As `Engine.offers`: on a CPU logits are not copied, and decoding reads few cells of them."""
    return frozenset() if is_cpu_path(device) else frozenset(model.scheme.stages[stage].answers)


def named(
    model: TableModel, stage: str, found: tuple[Tensor, ...], outputs: Collection[str] | None
) -> dict[str, NDArray[Any]]:
    """A stage's outputs, or those of `outputs`, as arrays by name."""
    tensors = dict(zip(model.scheme.stages[stage].outputs, (output.float() for output in found), strict=True))
    if outputs is None:
        outputs = tuple(tensors)
    if not RELATION_ANSWERS.keys().isdisjoint(outputs):
        logits = tensors["relation_logits"]
        # Of the logits, not of their softmax: that of two near ones may be the same number.
        probabilities = (logits / model.scheme.temperatures.cells).softmax(-1).amax(-1)
        tensors |= {RELATION_TAGS: logits.argmax(-1).int(), RELATION_PROBABILITIES: probabilities}
    return {name: tensors[name].cpu().numpy() for name in outputs}
