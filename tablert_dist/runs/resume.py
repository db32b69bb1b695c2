"""The command that resumes a run, made from its record: the nearest preset and what differs from it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from tablert_dist.config import flatten, load_config, preset_names, recorded_config
from tablert_dist.config.toml_files import shipped


def resume_command(record: Mapping[str, Any]) -> str:
    """`tablert train --config conll04 … --resume NAME`, which sets every key as it was."""
    config = recorded_config(record["config"])
    wanted = flatten(config)
    known = {name: flatten(load_config(name)) for name in preset_names()}
    preset = min(known, key=lambda name: sum(known[name].get(key) != value for key, value in wanted.items()))
    words = ["tablert", record["kind"], *record.get("options", ()), "--config", preset]
    if record["kind"] == "tune":
        words += ["--space", _space(str(record.get("space", "paper")))]
    for key, value in wanted.items():
        if known[preset].get(key) != value:
            words += ["--data", str(value)] if key == "data.path" and value else ["--set", f"{key}={_text(value)}"]
    return shlex.join([*words, "--resume", str(record["name"])])


def _space(name: str) -> str:
    """A shipped space by its name; of a file only the name is on record, not where it lay."""
    return name if name in shipped("tune_spaces") else f"{name}.toml"


def _text(value: Any) -> str:
    """The value as `--set` reads it."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_text(inner)}" for key, inner in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
