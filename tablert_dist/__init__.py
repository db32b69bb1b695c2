"""Joint entity and relation extraction by table labelling: train, tune, export, serve.

`load` a model and call it, ask one that is served with `Client`, `fit` one, or `search` for a better one; see each one's
docstring.

Importing this package loads neither torch nor ray nor transformers; the public names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tablert_dist.config import Config, load_config, with_overrides
    from tablert_dist.errors import InputError
    from tablert_dist.inference.extraction import Extraction, FoundEntity, FoundRelation
    from tablert_dist.inference.load import load
    from tablert_dist.inference.predictor import Predictor
    from tablert_dist.runs.result import FitResult
    from tablert_dist.schema import Entity, Relation, Schema, Sentence
    from tablert_dist.serve.client import AsyncClient, Client
    from tablert_dist.train.api import fit
    from tablert_dist.tune.api import search
    from tablert_dist.tune.search import SearchResult

__version__ = "0.1.0"

_HOME = {
    "AsyncClient": "tablert_dist.serve.client",
    "Client": "tablert_dist.serve.client",
    "Config": "tablert_dist.config",
    "load_config": "tablert_dist.config",
    "with_overrides": "tablert_dist.config",
    "InputError": "tablert_dist.errors",
    "Extraction": "tablert_dist.inference.extraction",
    "FoundEntity": "tablert_dist.inference.extraction",
    "FoundRelation": "tablert_dist.inference.extraction",
    "load": "tablert_dist.inference.load",
    "Predictor": "tablert_dist.inference.predictor",
    "FitResult": "tablert_dist.runs.result",
    "fit": "tablert_dist.train.api",
    "search": "tablert_dist.tune.api",
    "SearchResult": "tablert_dist.tune.search",
    "Entity": "tablert_dist.schema",
    "Relation": "tablert_dist.schema",
    "Schema": "tablert_dist.schema",
    "Sentence": "tablert_dist.schema",
}
__all__ = [
    "AsyncClient",
    "Client",
    "Config",
    "Entity",
    "Extraction",
    "FitResult",
    "FoundEntity",
    "FoundRelation",
    "InputError",
    "Predictor",
    "Relation",
    "Schema",
    "SearchResult",
    "Sentence",
    "fit",
    "load",
    "load_config",
    "search",
    "with_overrides",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'tablert_dist' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
