"""A torch model as an engine: arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from tablert_dist.model.system import TableModel
from tablert_dist.predictor import TABLE, Arrays


class TorchEngine:
    """Runs the model in evaluation mode on its device."""

    def __init__(self, model: TableModel) -> None:
        self.model = model.eval()
        self.device = next(model.parameters()).device

    def run(self, stage: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """As `Engine.run`."""
        assert stage == TABLE, stage
        tensors = {name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()}
        with torch.inference_mode():
            entity, relation = self.model(**tensors)
        return {"entity_logits": entity.float().cpu().numpy(), "relation_logits": relation.float().cpu().numpy()}
