"""A running mean of the weights, scored and kept in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

OWN = "own_weights"
"""Key in the saved state of the optimiser, of the weights that training goes on from."""


class RunningMean:
    """The exponential mean over steps of a module's weights (Polyak and Juditsky 1992, with decay); none at decay 0.

    Between epochs the module holds the mean, so that whatever reads it then scores, saves and exports the mean.
    """

    def __init__(self, module: nn.Module, decay: float, state: Mapping[str, Any] | None = None) -> None:
        """`state`: the saved one of a training that is gone on with; the module holds its mean."""
        self._module, self._mean = module, None
        self._own: Mapping[str, Tensor] = (state or {}).get(OWN, {})
        if decay:
            self._mean = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(decay))
            if self._own:
                self._mean.n_averaged += 1  # otherwise the next step's weights would replace the mean

    def begin_epoch(self) -> None:
        """Give the module its own weights back."""
        if self._own:
            self._put(self._own)
            self._own = {}

    def step(self) -> None:
        """Take in the weights after a step of the optimiser."""
        if self._mean is not None:
            self._mean.update_parameters(self._module)

    def end_epoch(self) -> None:
        """Put the mean into the module."""
        if self._mean is not None:
            self._own = {name: value.detach().clone() for name, value in self._module.named_parameters()}
            self._put(dict(self._mean.module.named_parameters()))

    def state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """What is saved beside the module between epochs: the optimiser's state, and the module's own weights."""
        return {**optimizer.state_dict(), **({OWN: dict(self._own)} if self._own else {})}

    @torch.no_grad()
    def _put(self, weights: Mapping[str, Tensor]) -> None:
        for name, value in self._module.named_parameters():
            value.copy_(weights[name])
