"""What makes the same computation fast on a CPU. Nothing here changes a result.

This is the one door: what is not listed is nobody's business outside.
"""

from tablert_dist.cpu.allocator import keep_pages
from tablert_dist.cpu.gemm import linear, speed_up
from tablert_dist.cpu.packing import enable_packing, packed_states, same_runs
from tablert_dist.cpu.table import table_by_sentence

__all__ = [
    "enable_packing",
    "keep_pages",
    "linear",
    "packed_states",
    "same_runs",
    "speed_up",
    "table_by_sentence",
]
