"""A device's memory: its running out as an error of ours, and how many table cells a batch may have on it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tablert_dist.batching import CELLS, cells_in
from tablert_dist.errors import OutOfMemory, is_out_of_memory


@contextmanager
def in_memory(device: torch.device) -> Iterator[None]:
    """Raise OutOfMemory where what runs inside does not fit into the device's memory."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        # The error holds its frames, and they hold the tensors that filled the memory: a log's handler may keep the error.
        traceback.clear_frames(error.__traceback__)
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
        raise OutOfMemory(f"{name}: out of memory") from None


def cells_on(device: torch.device, wanted: int | None = None) -> int:
    """Return the table cells (words squared, padded) of one batch of evaluation: `wanted`, or what suits the device."""
    if wanted is not None:
        return wanted
    if device.type != "cuda":
        return CELLS
    free, _ = torch.cuda.mem_get_info(device)
    return cells_in(free)
