"""How the verbs read data and results: `--strict` and `--text-field`, and what a reader left out or changed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

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


@contextmanager
def result_lines(source: str) -> Iterator[IO[str]]:
    """The lines of results that `tablert predict` wrote; `-` is standard input. Raises InputError where they cannot be read."""
    from tablert_dist.errors import InputError

    if source == "-":
        yield sys.stdin
        return
    try:
        with Path(source).open(encoding="utf-8") as lines:
            yield lines
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: not UTF-8 at byte {error.start}") from None
