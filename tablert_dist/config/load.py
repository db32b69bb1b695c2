"""Reading, overriding and flattening the configuration tree; one path for the command line, Tune and the tests."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from tablert_dist.config.toml_files import read_toml, shipped
from tablert_dist.config.tree import Config
from tablert_dist.errors import InputError, nearest

PRESETS = "tablert_dist.config.presets"
PUBLIC_SECTIONS = ("data", "model", "optim", "train")
"""Sections that leave the machine with a model, less the keys in PRIVATE_KEYS."""
PRIVATE_KEYS = frozenset({"data.path", "train.storage"})


def preset_names() -> list[str]:
    """Names of the shipped configurations."""
    return shipped(PRESETS)


def load_config(name: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a preset by its name or a TOML file by its path, then apply `overrides` (dotted keys).

    Raises InputError for an unknown preset, a file that is not TOML, an unknown key or a value out of range.
    """
    if name is None:
        return with_overrides(Config(), overrides or {})
    source = str(name)
    flat = _flatten(read_toml(source, PRESETS, "configuration"))
    for key in flat:
        _check_key(key, source)
    return with_overrides(Config(), {**flat, **dict(overrides or {})})


def with_overrides(config: Config, overrides: Mapping[str, Any]) -> Config:
    """A new Config in which each dotted key, such as `model.kernel_size`, has the given value.

    A string is read as a TOML value where the field is no string (`"[512, 256]"`, `"5"`, `"true"`); `"none"` unsets
    a field that may be unset. Raises InputError for an unknown key, naming the nearest, or a value out of range.
    """
    tree = config.model_dump()
    for key, value in overrides.items():
        section, field = _check_key(key, "--set")
        tree[section][field] = _coerce(section, field, value)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"configuration: {key} = {first['input']!r}: {message}".replace("= Config", "")) from None


def parse_assignment(text: str) -> tuple[str, str]:
    """Split `a.b=c` as given to `--set`. Raises InputError if there is no `=`."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {text}: write it as section.key=value, for example --set model.kernel_size=5")
    return key.strip(), value.strip()


def flatten(config: Config) -> dict[str, Any]:
    """`{"model.kernel_size": 3, …}`, tuples as lists."""
    return _flatten(config.model_dump(mode="json"))


def public_config(config: Config) -> dict[str, dict[str, Any]]:
    """The part that leaves the machine with a model: data, model, optim and train without paths or addresses."""
    tree = config.model_dump(mode="json", include=set(PUBLIC_SECTIONS))
    for key in PRIVATE_KEYS:
        section, field = key.split(".")
        tree[section].pop(field, None)
    encoder = Path(str(tree["model"]["encoder"]))
    if encoder.is_absolute():
        tree["model"]["encoder"] = encoder.name
    return tree


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def _check_key(key: str, source: str) -> tuple[str, str]:
    section, _, field = key.partition(".")
    sections = Config.model_fields
    if section in sections:
        known = _section_fields(section)
        if field in known:
            return section, field
    keys = [f"{s}.{f}" for s in sections for f in _section_fields(s)]
    raise InputError(f"{source}: there is no configuration key '{key}'{nearest(key, keys)}")


def _section_fields(section: str) -> dict[str, Any]:
    annotation = Config.model_fields[section].annotation
    assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return dict(annotation.model_fields)


def _coerce(section: str, field: str, value: Any) -> Any:
    """Turn text from a shell into the field's kind; leave the judgement to the validator."""
    annotation = _section_fields(section)[field].annotation
    if isinstance(value, str):
        if value.lower() in {"none", "null"} and type(None) in get_args(annotation):
            return None
        if annotation is not str and str not in get_args(annotation) and not _is_literal(annotation):
            try:
                value = tomllib.loads(f"v = {value}")["v"]
            except tomllib.TOMLDecodeError:
                return value
    if isinstance(value, list):
        return tuple(value)
    return value


def _is_literal(annotation: Any) -> bool:
    return get_origin(annotation) is Literal
