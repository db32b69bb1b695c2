"""The configuration explained: each key with its type, range, default and what it means; a configuration as TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from tablert_dist.config.load import flatten
from tablert_dist.config.section import Section
from tablert_dist.config.tree import Config
from tablert_dist.errors import InputError, nearest

_NAMES = {int: "whole number", float: "number", str: "text", bool: "true or false"}
_BOUNDS = (("ge", "from"), ("gt", "above"), ("le", "to"), ("lt", "below"))


@dataclass(frozen=True)
class Key:
    """One key of the configuration."""

    name: str
    """Dotted: `model.cnn.kernel_size`."""
    kind: str
    """Type and range in words."""
    default: str
    """As TOML; `unset` where there is none."""
    meaning: str
    """What stands below it in the source, in one line."""


def all_keys() -> list[Key]:
    """Return every key in the order of the tree."""
    defaults = flatten(Config())
    return [Key(name, _kind(field), toml(defaults[name]), _line(field)) for name, field in _fields(Config)]


def key_names() -> list[str]:
    """Return every key's name."""
    return [name for name, _ in _fields(Config)]


def section_names() -> list[str]:
    """Return the sections and their sub-sections: `model`, `model.cnn`."""
    names = (name.rpartition(".")[0] for name in key_names())
    return list(dict.fromkeys(part for name in names for part in (name.partition(".")[0], name)))


def about(section: str) -> str:
    """Return what a section is, by its dotted name."""
    kind: Any = Config
    for part in section.split("."):
        kind = kind.model_fields[part].annotation
    return _joined(kind.__doc__ or "")


def narrowed(word: str) -> list[Key]:
    """Return the keys that `word` names: a key, its last part alone, or a section.

    Raises InputError, naming the nearest, where there is none.
    """
    keys = all_keys()
    if found := [key for key in keys if key.name == word or key.name.startswith(f"{word}.")]:
        return found
    if found := [key for key in keys if key.name.endswith(f".{word}")]:
        return found
    known = [key.name for key in keys]
    # `batchsize` is nearer to `batch_size` than to any whole key.
    last = {name.rpartition(".")[2]: name for name in known}
    close = nearest(word, [*known, *section_names(), *last])
    for short, name in last.items():
        close = close.replace(f"'{short}'", f"'{name}'") if "." not in word else close
    raise InputError(f"there is no configuration key or section '{word}'{close}; tablert config lists them")


def choices(key: str) -> list[str]:
    """Return the values of a key that has a list of them; none for another key."""
    field = dict(_fields(Config)).get(key)
    if field is None:
        return []
    if field.annotation is bool:
        return ["true", "false"]
    return [str(value) for value in get_args(field.annotation)] if get_origin(field.annotation) is Literal else []


def toml(value: Any) -> str:
    """Return a value as TOML, `unset` for None."""
    if value is None:
        return "unset"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{json.dumps(str(key))} = {toml(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return json.dumps(value, ensure_ascii=False)


def as_toml(config: Config) -> str:
    """Return the whole configuration as a TOML file that `load_config` reads; what is not the default says what is."""
    values, defaults = flatten(config), flatten(Config())
    lines: list[str] = []
    section = ""
    for key in key_names():
        value = values[key]
        where, _, name = key.rpartition(".")
        if where != section:
            lines += ["", f"[{where}]"] if lines else [f"[{where}]"]
            section = where
        default = defaults[key]
        if value is None:
            # TOML has no null; "none" unsets a key that has a default.
            lines.append(f"# {name} is unset" if default is None else f'{name} = "none"  # default: {toml(default)}')
            continue
        lines.append(f"{name} = {toml(value)}" + ("" if value == default else f"  # default: {toml(default)}"))
    return "\n".join(lines) + "\n"


def _fields(section: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """A section's own keys, then those of its sub-sections, as TOML wants them."""
    inner: list[tuple[str, type[Section]]] = []
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            inner.append((f"{prefix}{name}.", kind))
        else:
            yield f"{prefix}{name}", field
    for name, kind in inner:
        yield from _fields(kind, name)


def _line(field: FieldInfo) -> str:
    return _joined(field.description or "")


def _joined(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _kind(field: FieldInfo) -> str:
    return _words(field.annotation, field.metadata)


def _words(kind: Any, metadata: Any = ()) -> str:
    """A type in words, with its range."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _words(inner[0], (*_flat(inner[1:]), *metadata))
    bounds = _bounds(metadata)
    if origin is Literal:
        return " | ".join(str(value) for value in inner)
    if origin in {Union, UnionType}:
        kinds = " or ".join(_words(one) for one in inner if one is not type(None))
        return f"{kinds}, or unset" if type(None) in inner else kinds
    if origin in {tuple, dict}:
        whole = "table" if origin is dict else "list" if inner[-1] is Ellipsis else "pair"
        return f"{whole} of {_words(inner[1] if origin is dict else inner[0]).replace('number', 'numbers')}"
    return f"{_NAMES.get(kind, getattr(kind, '__name__', str(kind)))}{bounds}"


def _flat(metadata: Any) -> list[Any]:
    """The constraints inside pydantic's FieldInfo too."""
    return [part for one in metadata for part in (one.metadata if isinstance(one, FieldInfo) else [one])]


def _bounds(metadata: Any) -> str:
    said = [
        f"{word} {getattr(one, name):g}"
        for name, word in _BOUNDS
        for one in metadata
        if getattr(one, name, None) is not None
    ]
    return " " + " ".join(said) if said else ""
