"""Reading, overriding and flattening the configuration tree; one path for the command line, Tune and the tests."""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from tablert_dist.config.heads import RENAMED
from tablert_dist.config.section import Section
from tablert_dist.config.toml_files import read_toml, shipped
from tablert_dist.config.tree import ADDRESSES, Config, saved_config
from tablert_dist.errors import InputError, nearest
from tablert_dist.storage.secrets import redact, without_login

log = logging.getLogger(__name__)
PRESETS = "tablert_dist.config.presets"
PUBLIC_SECTIONS = ("data", "model", "optim", "train")
"""Sections that leave the machine with a model, less the keys in PRIVATE_KEYS."""
PRIVATE_KEYS = frozenset({"data.path", "train.storage"})


def preset_names() -> list[str]:
    """Names of the shipped configurations."""
    return shipped(PRESETS)


def preset_title(name: str) -> str:
    """Return the first sentence of a shipped configuration's comment."""
    text = resources.files(PRESETS).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    comment = " ".join(line.removeprefix("#").strip() for line in takewhile(lambda s: s[:1] == "#", text.splitlines()))
    return re.split(r"(?<=[.:;]) ", comment)[0].rstrip(".:;")


def load_config(name: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a preset by its name or a TOML file by its path, then apply `overrides` (dotted keys).

    Raises InputError for an unknown preset, a file that is not TOML, an unknown key or a value out of range.
    """
    if name is None:
        return with_overrides(Config(), overrides or {})
    source = str(name)
    flat = current_keys(dict(_leaves(read_toml(source, PRESETS, "configuration"))), source)
    return with_overrides(Config(), flat | current_keys(overrides or {}, "--set"))


def with_overrides(config: Config, overrides: Mapping[str, Any]) -> Config:
    """A new Config in which each dotted key, such as `model.cnn.kernel_size`, has the given value.

    A string is read as a TOML value where the field is no string (`"[512, 256]"`, `"5"`, `"true"`); `"none"` unsets
    a field that may be unset. Raises InputError for an unknown key, naming the nearest, or a value out of range.
    """
    tree = config.model_dump()
    for key, value in current_keys(overrides, "--set").items():
        *sections, field = key.split(".")
        part = tree
        for section in sections:
            part = part[section]
        part[field] = _coerce(key, value)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        value = redact(repr(first["input"]))
        raise InputError(f"configuration: {key} = {value}: {message}".replace("= Config", "")) from None


def recorded_config(tree: Mapping[str, Any]) -> Config:
    """The configuration of a run's record, whichever version wrote it; a login in an address there is left out."""
    return Config.model_validate(saved_config(without_logins(tree)), strict=False)


def without_logins(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration's tree without logins in its addresses, which earlier versions let through."""
    clean = {section: dict(part) if isinstance(part, Mapping) else part for section, part in tree.items()}
    for key in ADDRESSES:
        section, field = key.split(".")
        if isinstance(clean.get(section), dict) and isinstance(clean[section].get(field), str):
            clean[section][field] = without_login(clean[section][field])
    return clean


def parse_assignment(text: str) -> tuple[str, str]:
    """Split `a.b=c` as given to `--set`. Raises InputError if there is no `=`."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(
            f"--set {redact(text)}: write it as section.key=value, for example --set model.cnn.kernel_size=5"
        )
    return key.strip(), value.strip()


def flatten(config: Config) -> dict[str, Any]:
    """`{"model.cnn.kernel_size": 3, …}`, tuples as lists."""
    return dict(_leaves(config.model_dump(mode="json")))


def current_keys(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The values by the keys of this version; one that has another name now is accepted with a warning.

    Raises InputError, naming the nearest key, for one that is not known.
    """
    return {_current(key, source): value for key, value in values.items()}


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


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values; a table that is one option's value stays whole."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name not in _fields():
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def _current(key: str, source: str) -> str:
    if key in RENAMED:
        _warn(key, source)
        return RENAMED[key]
    if key not in _fields():
        raise InputError(f"{source}: there is no configuration key '{key}'{nearest(key, _fields())}")
    return key


@cache
def _warn(key: str, source: str) -> None:
    """Once for each key and source."""
    log.warning("%s: the configuration key '%s' is now called '%s'", source, key, RENAMED[key])


@cache
def _fields() -> dict[str, FieldInfo]:
    """Every key of the tree."""
    return dict(_fields_of(Config))


def _fields_of(section: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _fields_of(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _coerce(key: str, value: Any) -> Any:
    """Turn text from a shell into the field's kind; leave the judgement to the validator."""
    annotation = _fields()[key].annotation
    if isinstance(value, str):
        if value.lower() in {"none", "null"} and type(None) in get_args(annotation):
            return None
        if not _takes_text(annotation) and not _is_literal(annotation):
            try:
                value = tomllib.loads(f"v = {value}")["v"]
            except tomllib.TOMLDecodeError:
                return value
    if isinstance(value, list):
        return tuple(value)
    return value


def _takes_text(annotation: Any) -> bool:
    return annotation is str or (get_origin(annotation) not in (dict, tuple) and str in get_args(annotation))


def _is_literal(annotation: Any) -> bool:
    return get_origin(annotation) is Literal
