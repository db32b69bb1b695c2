"""A torch model as an engine: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from tablert_dist.gpu import cells_on, in_memory
from tablert_dist.heads.base import WORDS, Arrays
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

    def run(self, stage: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """As `Engine.run`."""
        names = self.model.scheme.stages[stage].inputs
        with in_memory(self.device), torch.inference_mode():
            outputs = self.model.stage(stage)(*(torch.from_numpy(arrays[name]).to(self.device) for name in names))
            return named(self.model, stage, outputs)


class FeatureEngine:
    """The model in its present mode on one batch: its first stage takes the batch's features, kept word vectors too."""

    def __init__(self, model: TableModel, features: Sequence[Tensor]) -> None:
        self.model, self.features = model, features

    def run(self, stage: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """As `Engine.run`; the arrays of the first stage are not looked at."""
        model, device = self.model, self.features[0].device
        with torch.inference_mode():
            if stage == WORDS:
                outputs = (self.features[0] if model.encoder.frozen else model.encoder(*self.features),)
            elif stage == next(iter(model.scheme.stages)):
                outputs = model.trainable(*self.features)
            else:
                names = model.scheme.stages[stage].inputs
                outputs = model.stage(stage)(*(torch.from_numpy(arrays[name]).to(device) for name in names))
        return named(model, stage, outputs)


def named(model: TableModel, stage: str, outputs: tuple[Tensor, ...]) -> dict[str, NDArray[Any]]:
    """A stage's outputs as arrays by name."""
    names = model.scheme.stages[stage].outputs
    return {name: output.float().cpu().numpy() for name, output in zip(names, outputs, strict=True)}
