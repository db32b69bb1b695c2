"""What a head predicts: gold sentences as its targets, its outputs as sentences. No torch.

`cnn` is TablERT-CNN, `tablert` TablERT, `spert` SpERT; each has a file here and its module in `model/`.
"""

from tablert_dist.schemes.base import Scheme
from tablert_dist.schemes.choose import make_scheme

__all__ = ["Scheme", "make_scheme"]
