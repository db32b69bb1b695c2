"""Which of the two ways a tensor is computed: the CPU's, which looks at values, or the GPU's, which must not.

On a CPU a batch is taken apart: sentences without padding, each product by the faster library. On a GPU every look at a
value would make the host wait for the card, so the whole batch goes through each operation. Both compute the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

VARIABLE = "TABLERT_GPU_PATH"
"""Set to 1, a process takes the GPU's path on its CPU, from its start: for tests whose workers are other processes."""
_forced = os.environ.get(VARIABLE) == "1"


def on_cpu_path(x: Tensor) -> bool:
    """Return whether Python may look at the values of `x`: not on a GPU, nor while a graph is traced."""
    return is_cpu_path(x.device) and not (torch.compiler.is_exporting() or torch.compiler.is_compiling())


def is_cpu_path(device: torch.device) -> bool:
    """Return whether a training on `device` takes the CPU's path."""
    return device.type == "cpu" and not _forced


@contextmanager
def gpu_path() -> Iterator[None]:
    """Take the GPU's path on every device inside the block, so that a machine without a card can test it.

    >>> with gpu_path():
    ...     logits = head(words, mask)
    """
    global _forced  # noqa: PLW0603
    before, _forced = _forced, True
    try:
        yield
    finally:
        _forced = before
