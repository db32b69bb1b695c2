"""Joint entity and relation extraction by table labelling: train, tune, export, serve.

Importing this package loads neither torch nor ray nor transformers; the public names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tablert_dist.config import Config, load_config, with_overrides
    from tablert_dist.errors import InputError
    from tablert_dist.inference.predictor import Predictor
    from tablert_dist.schema import Entity, Relation, Schema, Sentence

__version__ = "0.1.0"

_HOME = {
    "Config": "tablert_dist.config",
    "load_config": "tablert_dist.config",
    "with_overrides": "tablert_dist.config",
    "InputError": "tablert_dist.errors",
    "Predictor": "tablert_dist.inference.predictor",
    "Entity": "tablert_dist.schema",
    "Relation": "tablert_dist.schema",
    "Schema": "tablert_dist.schema",
    "Sentence": "tablert_dist.schema",
}
__all__ = [
    "Config",
    "Entity",
    "InputError",
    "Predictor",
    "Relation",
    "Schema",
    "Sentence",
    "load_config",
    "with_overrides",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'tablert_dist' has no attribute '{name}'")
