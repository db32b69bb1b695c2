"""The heads there are, each declared once: see `registry`. No torch."""

from tablert_dist.heads.registry import HEADS, HeadSpec, head_spec, make_scheme

__all__ = ["HEADS", "HeadSpec", "head_spec", "make_scheme"]
