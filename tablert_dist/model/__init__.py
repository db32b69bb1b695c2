"""The torch model: encoder and head behind one forward."""

from tablert_dist.model.model import Head, TableModel, build_model

__all__ = ["Head", "TableModel", "build_model"]
