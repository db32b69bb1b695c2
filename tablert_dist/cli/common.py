"""What the verbs share: options, the console, and errors as one sentence with exit code 2."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click

_set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one option, such as model.cnn.kernel_size=5 or predict.provider=cuda.",
)
P = ParamSpec("P")
R = TypeVar("R")


def config_options(function: Callable[..., R]) -> Callable[..., R]:
    """`--config`, `--data`, `--set`; the verb receives `config`."""

    @click.option("--config", "config_name", default="sample", show_default=True, help="A preset or a TOML file.")
    @click.option("--data", default=None, help="Folder with *train.json, *dev.json, *test.json, *types.json.")
    @_set_option
    @wraps(function)
    def wrapper(config_name: str, data: str | None, assignments: tuple[str, ...], **rest: Any) -> R:
        from tablert_dist.config import load_config

        overrides = _parsed(assignments)
        if data is not None:
            overrides["data.path"] = data
        return function(config=load_config(config_name, overrides), **rest)

    return wrapper


def set_option(function: Callable[..., R]) -> Callable[..., R]:
    """`--set` alone, for the verbs that read a finished model; the verb receives `config`."""

    @_set_option
    @wraps(function)
    def wrapper(assignments: tuple[str, ...], **rest: Any) -> R:
        from tablert_dist.config import load_config

        return function(config=load_config(None, _parsed(assignments)), **rest)

    return wrapper


def _parsed(assignments: tuple[str, ...]) -> dict[str, Any]:
    from tablert_dist.config import parse_assignment

    return dict(parse_assignment(text) for text in assignments)


def plain_errors(function: Callable[P, R]) -> Callable[P, R]:
    """An InputError becomes its sentence on stderr and exit code 2; a failed export's exit code is 1."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        from tablert_dist.errors import InputError, RunError, missing_extra

        try:
            return function(*args, **kwargs)
        except InputError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(2)
        except RunError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)
        except ModuleNotFoundError as error:
            if (said := missing_extra(error)) is None:
                raise
            click.echo(f"error: {said}", err=True)
            sys.exit(2)
        except OSError as error:
            from tablert_dist.storage.atomic import is_full

            if not is_full(error):
                raise
            click.echo(f"error: {error.filename or 'a file'} cannot be written: the disk is full", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(130)

    return wrapper


def set_up_logging() -> None:
    """Our own warnings as lines; other libraries' chatter only where it is an error."""
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("tablert_dist").setLevel(logging.INFO)
    logging.getLogger("export").setLevel(logging.INFO)
