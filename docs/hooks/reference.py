"""MkDocs hook: the reference pages that are generated from the code, so that they cannot differ from it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import griffe
from mkdocs.structure.files import File, Files
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def on_files(files: Files, config: Any) -> Files:
    """Add the pages to the site."""
    for name, text in (("configuration", configuration()), ("cli", command_line()), ("python", python())):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


@cache
def _source() -> Any:
    return griffe.load("tablert_dist.config", search_paths=[str(ROOT)], submodules=True)


def docstring(section: type, field: str = "") -> str:
    """Return the docstring under a field of a section, or of the section itself, as it stands in the source."""
    for kind in section.__mro__:
        if kind.__module__.startswith("tablert_dist.config."):
            found = _source()[f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"]
            if not field or field in found.members:
                found = found[field] if field else found
                return _linked(" ".join(found.docstring.value.split())) if found.docstring else ""
    return ""


def _linked(text: str) -> str:
    """Turn the citation of a page in a docstring into a link from the reference's folder."""
    return re.sub(
        r"docs/((?:[\w-]+/)*([\w-]+)\.md)(?:#([\w-]+))?",
        lambda m: f"[{(m[3] or m[2]).replace('-', ' ')}](../{m[1]}{'#' + m[3] if m[3] else ''})",
        text,
    )


def configuration() -> str:
    """Return the page of every key: its type and range, its default, what it does."""
    from tablert_dist.config import Config, preset_names

    lines = [
        "# Configuration",
        "",
        "Every key with its type, its default and what it does; generated from `tablert_dist/config/`. Set a key with",
        "`--set SECTION.KEY=VALUE`, in a TOML file (`--config FILE`), or by a preset: "
        + ", ".join(f"`{name}`" for name in preset_names())
        + ". A value is written as in TOML: `model.cnn.hidden=[512, 256]`, `model.frozen=true`; `none` unsets a key.",
        "A mistyped key is refused with the nearest one.",
        "",
    ]
    for name, section in sections(Config):
        if not any(True for _ in keys(section)):
            continue
        lines += [
            f"## {name}",
            "",
            docstring(section),
            "",
            "| key | type | default | what it does |",
            "|---|---|---|---|",
        ]
        for key, field in keys(section):
            cells = (f"`{name}.{key}`", type_text(field), default_text(field), docstring(section, key))
            lines.append("| " + " | ".join(cell.replace("|", "&#124;") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _is_section(field: FieldInfo) -> bool:
    from tablert_dist.config.section import Section

    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def sections(section: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each section below this one with its dotted name."""
    for name, field in section.model_fields.items():
        if _is_section(field):
            yield f"{prefix}{name}", field.annotation
            yield from sections(field.annotation, f"{prefix}{name}.")


def keys(section: Any) -> Iterator[tuple[str, FieldInfo]]:
    """Yield a section's own keys."""
    yield from ((name, field) for name, field in section.model_fields.items() if not _is_section(field))


def type_text(field: FieldInfo) -> str:
    """Return a field's type and range in words."""
    annotation = field.annotation
    for limit in field.metadata:
        annotation = _annotated(annotation, limit)
    return _schema_text(TypeAdapter(annotation).json_schema())


def _annotated(kind: Any, limit: Any) -> Any:
    from typing import Annotated

    return Annotated[kind, limit]


def _schema_text(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " / ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "anyOf" in schema:
        return " or ".join("unset" if part == {"type": "null"} else _schema_text(part) for part in schema["anyOf"])
    kind = schema.get("type")
    if kind == "array":
        inner = schema.get("items") or schema["prefixItems"][0]
        return f"list of {_schema_text(inner)}"
    if kind == "object":
        return f"table of {_schema_text(schema['additionalProperties'])}"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = ", ".join(f"{sign} {schema[name]:g}" for name, sign in bounds.items() if name in schema)
    name = {"boolean": "true / false", "string": "text"}.get(str(kind), str(kind))
    return f"{name} {limits}".strip()


def default_text(field: FieldInfo) -> str:
    """Return a field's default as TOML writes it."""
    value = field.default
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def command_line() -> str:
    """Return the page of every verb's help, as the terminal shows it."""
    import export.cli
    import tablert_dist.cli

    lines = [
        "# Command line",
        "",
        "Generated from the commands themselves; `--help` prints the same. A user's mistake is one sentence and exit code 2,",
        "a failed run or export exit code 1.",
        "",
    ]
    for path, command in commands(tablert_dist.cli.main, ("tablert",)):
        lines += _help(path, command)
    lines += _help(("tablert-export",), export.cli.main)
    return "\n".join(lines)


RESULTS = ("tablert_dist.inference.extraction.Extraction", "tablert_dist.inference.extraction.Read")
"""What a predictor returns, where the top level does not have it."""


def python() -> str:
    """Return the page of the public names, which mkdocstrings fills from their docstrings."""
    import tablert_dist

    lines = [
        "# Python",
        "",
        "Import these names from `tablert_dist`. Importing the package loads neither torch nor Ray; each name is loaded when",
        "it is first used. A user's mistake raises `InputError`, whose message says what was wrong and the right call.",
        "",
    ]
    names = [f"{tablert_dist._HOME[name]}.{name}" for name in tablert_dist.__all__]
    names += [path for path in RESULTS if path.rpartition(".")[2] not in tablert_dist.__all__]
    for path in names:
        lines += [f"::: {path}", ""]
        if path.endswith(".Config"):
            lines += ["    options: {members: false}", "", "[Every key](configuration.md).", ""]
    return "\n".join(lines)


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and all of its verbs, each with its words."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, **command.context_settings)
        for name in command.list_commands(context):
            verb = command.get_command(context, name)
            assert verb is not None
            yield from commands(verb, (*path, name))


def _help(path: tuple[str, ...], command: click.Command) -> list[str]:
    context = click.Context(command, info_name=" ".join(path), **{**command.context_settings, "max_content_width": 100})
    return [f"## {' '.join(path)}", "", "```text", command.get_help(context), "```", ""]
