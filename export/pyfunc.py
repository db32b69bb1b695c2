"""The bundle as an MLflow pyfunc: `load_model("models:/NAME@ALIAS").predict(texts)` and `mlflow models serve`."""

from __future__ import annotations

import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tablert_dist import __version__
from tablert_dist.storage.atomic import write_text
from tablert_dist.waiting import waiting

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
    from mlflow.types.schema import AnyType, ColSpec, DataType, Schema

    # It would rather infer the signature from an example that it runs; here it is said. Recorded, not ignored: MLflow puts
    # a filter of its own before ours (pyfunc_model.py).
    with warnings.catch_warnings(record=True) as told:
        pyfunc.save_model(
            path=str(out),
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"bundle": str(bundle)},
            input_example=[EXAMPLE],
            signature=ModelSignature(Schema([ColSpec(DataType.string)]), Schema([ColSpec(AnyType())])),
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
    """The texts in what MLflow passes: a list, a table with the column `text`, or one text. Raises ValueError."""
    if isinstance(given, str):
        return [given]
    if hasattr(given, "columns"):
        columns = list(given.columns)
        if "text" not in columns and len(columns) != 1:
            raise ValueError(f"expected a column 'text', found {columns}")
        given = given["text" if "text" in columns else columns[0]].tolist()
    texts = list(given)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("expected texts (strings)")
    return texts
