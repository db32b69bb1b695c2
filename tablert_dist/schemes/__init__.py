"""What a head predicts: gold sentences as its targets, its outputs as sentences. No torch.

`cnn` is TablERT-CNN, `tablert` TablERT, `spert` SpERT; each has a file here and its module in `model/` (heads/registry.py).
"""

from tablert_dist.schemes.base import Scheme, lost_to_overlap

__all__ = ["Scheme", "lost_to_overlap"]
