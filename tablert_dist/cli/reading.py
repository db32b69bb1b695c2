"""How the verbs read data: `--strict` and `--text-field`, and what a reader left out or changed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from tablert_dist.data.formats import Notes

R = TypeVar("R")
strict_option = click.option(
    "--strict", is_flag=True, help="Refuse a record that cannot be read, instead of leaving it out and counting it."
)
text_field_option = click.option(
    "--text-field",
    default=None,
    metavar="NAME",
    help="Field of a Label Studio task that has the text.  [default: the one that its regions quote]",
)


def reading_options(function: Callable[..., R]) -> Callable[..., R]:
    """`--strict` and `--text-field`, below `config_options` or `set_option`, whose `config` they change."""

    @strict_option
    @text_field_option
    @wraps(function)
    def wrapper(config: Any, strict: bool, text_field: str | None, **rest: Any) -> R:
        from tablert_dist.config import with_overrides

        return function(config=with_overrides(config, given(strict, text_field)), **rest)

    return wrapper


def given(strict: bool, text_field: str | None) -> dict[str, Any]:
    """What the two options say, as configuration keys."""
    return {**({"data.strict": True} if strict else {}), **({"data.text_field": text_field} if text_field else {})}


def say_read(notes: Notes) -> None:
    """Print what was left out or changed."""
    for line in notes.lines():
        click.echo(f"read: {line}")
