"""What the shell completes: presets, spaces, keys and runs by their names. Nothing slow is imported."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem


def presets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shipped configurations, or a file."""
    from tablert_dist.config import preset_names

    return _or_file(preset_names(), incomplete)


def spaces(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shipped spaces, or a file."""
    from tablert_dist.config.toml_files import shipped

    return _or_file(shipped("tune_spaces"), incomplete)


def keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Keys of the configuration, each with its `=`; after it, the values of a key that has a list of them."""
    from click.shell_completion import CompletionItem

    from tablert_dist.config.describe import choices, key_names

    key, equals, value = incomplete.partition("=")
    if equals:
        return [CompletionItem(f"{key}={one}") for one in choices(key) if one.startswith(value)]
    return [CompletionItem(f"{one}=") for one in key_names() if one.startswith(incomplete)]


def key_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Keys and sections of the configuration."""
    from click.shell_completion import CompletionItem

    from tablert_dist.config.describe import key_names, section_names

    return [CompletionItem(one) for one in (*section_names(), *key_names()) if one.startswith(incomplete)]


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Runs, and files and folders."""
    return _or_file(_runs(ctx), incomplete, always=True)


def runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Runs."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(name) for name in _runs(ctx) if name.startswith(incomplete)]


def _runs(ctx: click.Context) -> list[str]:
    """The runs in the local storage that the command line names so far; a URL is not asked."""
    from tablert_dist.runs.location import local_root
    from tablert_dist.runs.status import run_names
    from tablert_dist.storage.remote import is_url

    storage = ctx.params.get("storage")
    for text in ctx.params.get("assignments") or ():
        key, _, value = text.partition("=")
        storage = value if key == "train.storage" else storage
    return [] if storage and is_url(storage) else run_names(Path(local_root(storage)))


def _or_file(names: Iterable[str], incomplete: str, always: bool = False) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return [*found, CompletionItem(incomplete, type="file")] if always or not found else found
