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
    from tablert_dist.inference.graph.mentions import Count

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


def name_of(source: str) -> str:
    """What messages call a file of results; `-` is standard input."""
    return "standard input" if source == "-" else source


def say_left_out(count: Count) -> None:
    """Say which lines of results were left out, and how many hold no result."""
    from tablert_dist.errors import counted

    for reason in count.reasons:
        click.echo(f"left out: {reason}", err=True)
    if count.left_out > len(count.reasons):
        click.echo(f"left out: {counted(count.left_out, 'line')} in all", err=True)
    if count.errors:
        click.echo(f"{counted(count.errors, 'line')} of texts that could not be read", err=True)


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
