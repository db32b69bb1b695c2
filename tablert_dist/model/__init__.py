"""The torch model: encoder and head behind one forward."""

from tablert_dist.model.system import TableModel, build_model

__all__ = ["TableModel", "build_model"]
