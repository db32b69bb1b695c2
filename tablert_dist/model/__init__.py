"""The torch model: encoder and head behind one forward."""

from tablert_dist.heads.head import Head
from tablert_dist.model.model import TableModel, build_model

__all__ = ["Head", "TableModel", "build_model"]
