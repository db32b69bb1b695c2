"""Keep freed pages: tables of megabytes are made and freed at every step, and giving them back costs page faults."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3


def keep_pages() -> bool:
    """Tell glibc to serve large blocks from the heap and to keep it; False where the C library is another one.

    Measured on CoNLL04's training step on 2 cores: 0.63 s without, 0.44 s with (`python -m bench.train_step`).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    # 1 GiB is above any single table here; -1 would also disable trimming but is read as an unsigned size.
    return all(mallopt(option, value) for option, value in ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, 2**31 - 1)))
