"""A place between two steps of an epoch: all that a training needs to go on from there with the same bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from tablert_dist.train.context import TrainContext
from tablert_dist.train.readings import Norms

KEY = "position"
"""In the trainer's state, beside `epoch` and `optimizer`."""


@dataclass(frozen=True)
class RankState:
    """What differs between the workers."""

    loss: float
    """Summed over this epoch's sentences so far."""
    sentences: int
    rng: Mapping[str, Tensor]
    """Random state by kind of device: the CPU's, and that of the one it trains on."""


@dataclass(frozen=True)
class Position:
    """Between two steps; the model holds its own weights, not their mean."""

    epoch: int
    """Complete epochs."""
    step: int
    """Steps taken in the next one."""
    steps: int
    """Steps that it has."""
    seconds: float
    """Spent in it."""
    norms: Norms
    """Of this epoch's gradients so far, the same on every worker."""
    ranks: Sequence[RankState]
    optimizer: Mapping[str, Any]
    """The optimiser's state, with the mean of the weights where there is one."""

    def state(self) -> dict[str, Any]:
        """As it is saved beside the model's weights; `of` reads it."""
        own = {k: getattr(self, k) for k in ("step", "steps", "seconds")}
        # `norm` for a version that knows the last step's alone.
        norms = {"norm": self.norms.last, "norms": asdict(self.norms)}
        ranks = [asdict(rank) for rank in self.ranks]
        return {"epoch": self.epoch, "optimizer": dict(self.optimizer), KEY: {**own, **norms, "ranks": ranks}}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Position | None:
        """Return the position in a saved state; None for one at the end of an epoch.

        One that says nothing of the norms but the last step's: their mean and maximum are of the steps that follow.
        """
        found = state.get(KEY)
        if found is None:
            return None
        own = {key: found[key] for key in ("step", "steps", "seconds")}
        norms = Norms(**found["norms"]) if "norms" in found else Norms(last=found["norm"])
        ranks = [RankState(**rank) for rank in found["ranks"]]
        return cls(epoch=state["epoch"], **own, norms=norms, ranks=ranks, optimizer=state["optimizer"])

    def mismatch(self, context: TrainContext) -> str | None:
        """Why a training in this context cannot go on from here, or None."""
        if len(self.ranks) != context.world_size:
            return f"it was saved by {len(self.ranks)} workers, and there are {context.world_size} now"
        if context.device.type not in self.ranks[0].rng:
            return f"it was not saved on a device of the kind {context.device.type}"
        return None


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """The random state of this process: what dropout is drawn from."""
    found = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        found["mps"] = torch.mps.get_rng_state()
    return found


def set_rng_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Set what `rng_state` returned."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states["mps"])


def gathered(own: RankState, context: TrainContext) -> list[RankState]:
    """Every worker's state, in the order of ranks."""
    if context.world_size == 1:
        return [own]
    found: list[Any] = [None] * context.world_size
    dist.all_gather_object(found, own)
    return found
