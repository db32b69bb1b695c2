"""What makes the same computation fast on a GPU. Nothing here changes a result.

This is the one door: what is not listed is nobody's business outside.
"""

from tablert_dist.gpu.gradients import Gradients
from tablert_dist.gpu.graphs import Recorder, Recording, Work, is_replaying
from tablert_dist.gpu.mask import attention_switched, enable_waitless_mask, padding_mask
from tablert_dist.gpu.memory import cells_on, in_memory
from tablert_dist.gpu.path import gpu_path, is_cpu_path, on_cpu_path
from tablert_dist.gpu.sizes import Ladder, Sizes
from tablert_dist.gpu.weights import half_weights

__all__ = [
    "Gradients",
    "Ladder",
    "Recorder",
    "Recording",
    "Sizes",
    "Work",
    "attention_switched",
    "cells_on",
    "enable_waitless_mask",
    "gpu_path",
    "half_weights",
    "in_memory",
    "is_cpu_path",
    "is_replaying",
    "on_cpu_path",
    "padding_mask",
]
