"""Config: one frozen, validated tree, made once and never mutated."""

from tablert_dist.config.heads import CnnConfig, SpertConfig, TablertConfig
from tablert_dist.config.inference import ExportConfig, PredictConfig, ServeConfig
from tablert_dist.config.load import (
    current_keys,
    flatten,
    load_config,
    parse_assignment,
    preset_names,
    public_config,
    recorded_config,
    with_overrides,
    without_logins,
)
from tablert_dist.config.tree import (
    ClusterConfig,
    Config,
    DataConfig,
    ModelConfig,
    OptimConfig,
    TrackingConfig,
    TrainConfig,
    TuneConfig,
    saved_config,
    saved_model,
)

__all__ = [
    "ClusterConfig",
    "CnnConfig",
    "Config",
    "DataConfig",
    "ExportConfig",
    "ModelConfig",
    "OptimConfig",
    "PredictConfig",
    "ServeConfig",
    "SpertConfig",
    "TablertConfig",
    "TrackingConfig",
    "TrainConfig",
    "TuneConfig",
    "current_keys",
    "flatten",
    "load_config",
    "parse_assignment",
    "preset_names",
    "public_config",
    "recorded_config",
    "saved_config",
    "saved_model",
    "with_overrides",
    "without_logins",
]
