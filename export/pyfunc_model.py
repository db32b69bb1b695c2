"""What MLflow runs when it loads the model (models from code)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from mlflow import pyfunc
from mlflow.models import set_model

with warnings.catch_warnings(record=True):
    # MLflow warns, while the class is made, about any `predict` whose input has no type hint; with one it would no
    # longer take tables (MLflow 3.17, mlflow#14235). Recorded, and so not shown: it puts a filter "once" before ours.

    class TablertModel(pyfunc.PythonModel):  # type: ignore[misc]
        """Texts in; for each the entities and relations with character offsets, as `Extraction.to_json`."""

        def load_context(self, context: Any) -> None:
            """Open the bundle, its hashes checked."""
            from tablert_dist import Predictor

            self.predictor = Predictor.load(Path(context.artifacts["bundle"]))

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            """One result a text, in their order."""
            from export.pyfunc import texts_of

            return [found.to_json() for found in self.predictor.predict(texts_of(model_input))]


set_model(TablertModel())
