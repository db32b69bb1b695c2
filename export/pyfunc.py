"""The bundle as an MLflow pyfunc: `load_model("models:/NAME@ALIAS").predict(texts)` and `mlflow models serve`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tablert_dist import __version__
from tablert_dist.storage.atomic import write_text
from tablert_dist.waiting import waiting

TEXT = "text"
"""The input column."""
EXAMPLE = "Mira Holt works for Ostrava Looms."
"""The input example: a sentence of nobody's data."""


def save_pyfunc(bundle: Path, out: Path) -> Path:
    """Write an MLflow model folder that holds the bundle. The model is its source file and its data, no pickle."""
    with waiting("packing the bundle as an MLflow model"):
        _save(bundle, out)
    _without_paths(out / "MLmodel")
    return out


def _save(bundle: Path, out: Path) -> None:
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    # It would rather infer the signature from an example that it runs; here it is said. Recorded, not ignored: MLflow puts
    # a filter of its own before ours (pyfunc_model.py).
    with warnings.catch_warnings(record=True) as told:
        pyfunc.save_model(
            path=str(out),
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"bundle": str(bundle)},
            input_example={TEXT: [EXAMPLE]},
            # A name, so that of several columns the right one is read. Any type, so that null and 3 arrive as they are and
            # are refused: a column of strings has them turned into "None" and "3" by the server (MLflow 3.17).
            signature=ModelSignature(Schema([ColSpec(AnyType(), TEXT)]), Schema([ColSpec(AnyType())])),
            pip_requirements=[f"tablert-dist=={__version__}", f"onnxruntime>={_runtime()}"],
        )
    for one in told:
        if not issubclass(one.category, UserWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def _runtime() -> str:
    for package in ("onnxruntime", "onnxruntime-gpu"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "1.31"


def _without_paths(description: Path) -> None:
    """MLflow notes where the files came from; that is nobody's business where the model goes."""
    import yaml

    model = yaml.safe_load(description.read_text(encoding="utf-8"))
    flavor = model["flavors"]["python_function"]
    flavor["model_code_path"] = Path(flavor["model_code_path"]).name
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    write_text(description, yaml.safe_dump(model))


def texts_of(given: Any) -> list[str]:
    """The texts in what MLflow passes: a table or mapping with `text`, or a list. Raises ValueError for anything else."""
    if isinstance(given, str):
        return [given]
    if isinstance(given, Mapping):
        if TEXT not in given:
            raise ValueError(f"expected the column '{TEXT}', found {list(given)}")
        given = given[TEXT]
    if hasattr(given, "columns"):
        columns = list(given.columns)
        # 0: a list's, in models that were registered before their column had a name.
        if TEXT not in columns and columns != [0]:
            raise ValueError(f"expected the column '{TEXT}', found {columns}")
        given = given[columns[0] if columns == [0] else TEXT].tolist()
    # {"inputs": ["a", "b"]} comes as one cell with both.
    cells = [given] if isinstance(given, str) else list(given)
    texts = [text for cell in cells for text in (cell if isinstance(cell, list) else [cell])]
    for n, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"{TEXT} {n} is no string: {text!r}")
    return texts
