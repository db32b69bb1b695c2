"""What a training step asks of the device, counted without one: operators, casts of weights, and waits for the device.

Two witnesses, for neither sees everything: real tensors under a dispatch mode show every operator, but not `.tolist()`;
fake tensors have no values, so whatever looks at one raises, but transformers does not look at a fake one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from tablert_dist.gpu import is_replaying

WAITS = {
    "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::is_nonzero", "aten::equal",
    "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive", "aten::repeat_interleave.Tensor",
}  # fmt: skip
"""Operators whose result's value or shape the host has to know."""
CASTS = {"aten::_to_copy", "aten::copy_", "aten::_foreach_copy_"}


@dataclass
class Counts:
    """Of one step."""

    operators: int = 0
    """Not counting views, which launch nothing."""
    launched: int = 0
    """Of them, those outside of recordings: a GPU's host launches each of these, and one graph for a recording."""
    waits: Counter[str] = field(default_factory=Counter)
    host_copies: int = 0
    """Tensors made from arrays and lists of the host's. Those of a batch go through pinned memory; for any other the host
    would wait."""
    weight_casts: int = 0
    """Copies of the model's weights to another type; one of many weights at once counts once."""
    made: Counter[torch.dtype] = field(default_factory=Counter)
    """Elements made in each type."""


class _Counting(TorchDispatchMode):
    def __init__(self, weights: set[int]) -> None:
        super().__init__()
        self.counts, self._weights = Counts(), weights

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name
        if not func.is_view:
            self.counts.operators += 1
            self.counts.launched += not is_replaying()
        by_mask = name == "aten::index" and any(
            isinstance(i, Tensor) and i.dtype in {torch.bool, torch.uint8} for i in args[1]
        )
        if name in WAITS or f"{name}.{func._overloadname}" in WAITS or by_mask:
            self.counts.waits[name] += 1
        self.counts.host_copies += name == "aten::lift_fresh"
        if name in CASTS and self._casts_weights(name, args, result):
            self.counts.weight_casts += 1
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor) and not func.is_view:
                self.counts.made[tensor.dtype] += tensor.numel()
        return result

    def _casts_weights(self, name: str, args: Any, result: Any) -> bool:
        if name == "aten::_foreach_copy_":
            return any(t.data_ptr() in self._weights for t in args[1])
        source, target = (args[1], args[0]) if name == "aten::copy_" else (args[0], result)
        return source.data_ptr() in self._weights and source.dtype != target.dtype


def count(step: Callable[[], Any], module: torch.nn.Module) -> Counts:
    """Return what `step`, forward and backward through `module`, asks of the device. Run it once before: caches."""
    with _Counting({p.data_ptr() for p in module.parameters()}) as mode:
        step()
    return mode.counts


def refused_by_fake_tensors(make_step: Callable[[], Callable[[], Any]]) -> str | None:
    """Return why a step cannot run without values, or None. `make_step` makes the model too, so that its weights are fake.

    Tensors made from arrays of the host stay real: looking at those waits for nothing.
    """
    with FakeTensorMode(allow_non_fake_inputs=True):
        step = make_step()
        try:
            step()
        except Exception as error:
            return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return None
