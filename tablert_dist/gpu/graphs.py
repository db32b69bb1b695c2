"""Work on tensors of fixed shapes, recorded once and launched by one call: CUDA graphs.

A training step has a thousand small kernels, each of which the host has to launch; a GPU computes them faster than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

Work = Callable[[Sequence[Tensor]], Tensor]
WARM_UPS = 2
"""Runs before a recording: libraries make their workspaces and choose their kernels, which cannot be recorded."""
_replaying = False


def is_replaying() -> bool:
    """Return whether a recording is being run again operator by operator, in the place of a graph that a GPU would launch."""
    return _replaying


class Recording:
    """One recorded piece of work."""

    def __init__(self, inputs: Sequence[Tensor], replay: Callable[[], Tensor]) -> None:
        self._inputs, self._replay = inputs, replay

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        """Run the work on other inputs of the same shapes, from the host's pinned memory or the device's."""
        for own, other in zip(self._inputs, inputs, strict=True):
            own.copy_(other, non_blocking=True)
        return self._replay()


class Recorder:
    """Records work on a device. All recordings share their memory: run one after another, on one stream."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool: Any = None

    def record(self, work: Work, inputs: Sequence[Tensor]) -> Recording:
        """Record `work`, which must not look at a value, on inputs of these shapes. It is run a few times for that.

        Random numbers are drawn from where the device's generator stood before, and the first run of the recording draws
        the same as `work` would have. Elsewhere than on a GPU the recording calls `work` again. Raises RuntimeError where
        CUDA cannot record it.
        """
        own = [tensor.to(self._device, copy=True) for tensor in inputs]
        with self.drawing_nothing():
            if self._device.type != "cuda":
                return Recording(own, lambda: _again(work, own))
            return self._record(work, own)

    @contextmanager
    def drawing_nothing(self) -> Iterator[None]:
        """Put the device's generator back to where it stood before the block."""
        cuda = self._device.type == "cuda"
        state = torch.cuda.get_rng_state(self._device) if cuda else torch.get_rng_state()
        try:
            yield
        finally:
            if cuda:
                torch.cuda.set_rng_state(state, self._device)
            else:
                torch.set_rng_state(state)

    def _record(self, work: Work, own: list[Tensor]) -> Recording:
        current, beside = torch.cuda.current_stream(self._device), torch.cuda.Stream(self._device)
        beside.wait_stream(current)
        with torch.cuda.stream(beside):
            for _ in range(WARM_UPS):
                work(own)
        current.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            result = work(own)
        self._pool = graph.pool()

        def replay() -> Tensor:
            graph.replay()
            # The next run, of this graph or another, overwrites it.
            return result.clone()

        return Recording(own, replay)


def _again(work: Work, own: Sequence[Tensor]) -> Tensor:
    global _replaying  # noqa: PLW0603
    _replaying = True
    try:
        return work(own)
    finally:
        _replaying = False
