"""How large a batch a GPU's memory allows, asked of its driver: prediction has no torch, and onnxruntime does not tell."""

from __future__ import annotations

import os
import shutil
import subprocess

from tablert_dist.batching import CELLS, cells_in

PATIENCE_S = 10.0


def gpu_cells() -> int:
    """Return the table cells of a batch on the first GPU that this process sees; a CPU's where the driver does not say."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return CELLS
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    which = ["-i", first] if first else []
    command = [tool, *which, "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
        return cells_in(int(done.stdout.split()[0]) * 2**20)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return CELLS
