"""A running mean of the weights, scored and kept in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

OWN, MEAN = "own_weights", "mean_weights"
"""Keys in the saved state of the optimiser: at an epoch's end of the weights that training goes on from, in the middle of
one of their mean. The model's own file has the other."""


class RunningMean:
    """The exponential mean over steps of a module's weights (Polyak and Juditsky 1992, with decay); none at decay 0.

    Between epochs the module holds the mean, so that whatever reads it then scores, saves and exports the mean.
    """

    def __init__(self, module: nn.Module, decay: float, state: Mapping[str, Any] | None = None) -> None:
        """`state`: the saved one of a training that is gone on with; the module holds what was beside it."""
        self._module, self._mean = module, None
        self._own: Mapping[str, Tensor] = (state or {}).get(OWN, {})
        if decay:
            self._mean = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(decay))
            mean = (state or {}).get(MEAN, {})
            if mean:
                _put(mean, self._mean.module)
            if self._own or mean:
                self._mean.n_averaged += 1  # otherwise the next step's weights would replace the mean

    def begin_epoch(self) -> None:
        """Give the module its own weights back, if it has not got them."""
        if self._own:
            _put(self._own, self._module)
            self._own = {}

    def step(self) -> None:
        """Take in the weights after a step of the optimiser."""
        if self._mean is not None:
            self._mean.update_parameters(self._module)

    def end_epoch(self) -> None:
        """Put the mean into the module."""
        if self._mean is not None:
            self._own = {name: value.detach().clone() for name, value in self._module.named_parameters()}
            _put(dict(self._mean.module.named_parameters()), self._module)

    def state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """What is saved beside the module: the optimiser's state, and those of the two weights that it does not hold."""
        if self._own:
            return {**optimizer.state_dict(), OWN: dict(self._own)}
        if self._mean is not None and int(self._mean.n_averaged):
            return {**optimizer.state_dict(), MEAN: {k: v.detach() for k, v in self._mean.module.named_parameters()}}
        return optimizer.state_dict()


@torch.no_grad()
def _put(weights: Mapping[str, Tensor], module: nn.Module) -> None:
    for name, value in module.named_parameters():
        value.copy_(weights[name])
