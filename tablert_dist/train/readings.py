"""What the steps of an epoch report, kept on their device and read together: each read waits for the card."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tablert_dist.config import OptimConfig
from tablert_dist.errors import RunError

STEPS_A_READ = 20
"""On a GPU; on a CPU every step is read, which waits for nothing."""


Asking = Callable[[], Callable[[], Tensor]]


@dataclass(frozen=True)
class Norms:
    """Of the whole gradient before clipping, over the steps of an epoch that were read: the last one's, sum, largest, and
    their number."""

    last: float = 0.0
    total: float = 0.0
    largest: float = 0.0
    steps: int = 0

    def with_step(self, norm: float) -> Norms:
        """One step more."""
        return Norms(norm, self.total + norm, max(self.largest, norm), self.steps + 1)

    @property
    def mean(self) -> float:
        """Over the steps; 0 where there is none."""
        return self.total / self.steps if self.steps else 0.0


@dataclass(frozen=True)
class _Step:
    loss: Tensor
    norm: Tensor
    sentences: int


class Readings:
    """Sums over an epoch's steps on this worker: `loss`, `sentences`, `norms`; and of the last step read, `last_loss`.

    `asking` starts a sum over the workers, at the beginning of a step that is read, and returns what waits for it: a scalar
    on the device, read with the steps. `asked` is whether it was not zero. Several workers agree by it: it travels while
    the step computes.
    """

    def __init__(
        self, epoch: int, optim: OptimConfig, every: int, asking: Asking | None = None, steps: int = 0
    ) -> None:
        """`steps`: those taken before, of an epoch that is gone on with."""
        self.loss, self.sentences, self.norms, self.last_loss = 0.0, 0, Norms(), 0.0
        self.steps, self.asked = steps, False
        self._epoch, self._optim, self._every, self._asking = epoch, optim, every, asking
        self._unread: list[_Step] = []
        self._answer: Callable[[], Tensor] | None = None

    def begin(self) -> None:
        """A step begins."""
        if self._asking is not None and len(self._unread) == self._every - 1:
            self._answer = self._asking()

    def add(self, loss: Tensor, norm: Tensor, sentences: int) -> bool:
        """Take in a step's summed loss and gradient norm, scalars on its device; return whether this step was read.

        Raises RunError as `read`.
        """
        self._unread.append(_Step(loss, norm, sentences))
        if len(self._unread) < self._every:
            return False
        self.read()
        return True

    def read(self) -> None:
        """Wait for the steps since the last read. Raises RunError where one of them was not finite."""
        if not self._unread:
            return
        rows = [torch.stack([step.loss.float(), step.norm.float()]) for step in self._unread]
        answer, self._answer = self._answer, None
        if answer is not None:
            rows.append(answer().expand(2))
        values = torch.stack(rows).tolist()
        if answer is not None:
            self.asked = bool(values.pop()[0])
        for step, (loss, norm) in zip(self._unread, values, strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise RunError(self._refusal("loss" if not math.isfinite(loss) else "gradient"))
            self.loss += loss
            self.sentences += step.sentences
            self.norms, self.last_loss = self.norms.with_step(norm), loss / max(1, step.sentences)
            self.steps += 1
        self._unread.clear()

    def _refusal(self, what: str) -> str:
        return (
            f"the {what} is not finite at epoch {self._epoch + 1}, step {self.steps + 1}: the training has diverged; lower "
            f"optim.lr (now {self._optim.lr:g}) or optim.encoder_lr (now {self._optim.encoder_lr:g}), or lengthen "
            f"optim.warmup (now {self._optim.warmup:g})"
        )
