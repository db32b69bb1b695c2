"""Config: one frozen, validated tree, made once and never mutated."""

from tablert_dist.config.inference import ExportConfig, PredictConfig, ServeConfig
from tablert_dist.config.load import flatten, load_config, parse_assignment, preset_names, public_config, with_overrides
from tablert_dist.config.tree import (
    ClusterConfig,
    Config,
    DataConfig,
    ModelConfig,
    OptimConfig,
    TrackingConfig,
    TrainConfig,
    TuneConfig,
)

__all__ = [
    "ClusterConfig",
    "Config",
    "DataConfig",
    "ExportConfig",
    "ModelConfig",
    "OptimConfig",
    "PredictConfig",
    "ServeConfig",
    "TrackingConfig",
    "TrainConfig",
    "TuneConfig",
    "flatten",
    "load_config",
    "parse_assignment",
    "preset_names",
    "public_config",
    "with_overrides",
]
