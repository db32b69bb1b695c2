"""`load`: any model by its name, ready to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tablert_dist.config import load_config
from tablert_dist.inference.named import find_model
from tablert_dist.inference.predictor import Predictor


def load(
    model: str | Path,
    *,
    provider: str = "auto",
    threads: int | None = None,
    min_entity: float = 0.0,
    min_relation: float = 0.0,
    **options: Any,
) -> Predictor:
    """Load a model to predict with.

    model: a bundle, its .zip, a checkpoint, a run's name or folder, `models:/NAME@ALIAS`, or a hub id `OWNER/NAME`.
    provider: `auto`, `cpu` or `cuda`. threads: of onnxruntime or torch; None = all cores. min_entity,
    min_relation: leave out what is less probable (0–1). options: any other key of `predict`, such as `on_overflow="error"`.
    Raises InputError where there is no such model, a file is missing or altered, or an option does not exist.

    Example:
        >>> from tablert_dist import load
        >>> predictor = load("runs/quickstart/bundle")
        >>> predictor("Mira Holt works for Ostrava Looms.").triples()
        [('Mira Holt', 'works_for', 'Ostrava Looms')]
    """
    given = {"provider": provider, "min_entity": min_entity, "min_relation": min_relation, **options}
    if threads is not None:
        given["threads"] = threads
    # A dotted key is of another section: `**{"train.storage": "s3://bucket/runs"}` says where runs lie.
    config = load_config(None, {key if "." in key else f"predict.{key}": value for key, value in given.items()})
    return Predictor.load(find_model(str(model), config), config.predict)
