"""What the verbs share: options, the console, and errors as one sentence with exit code 2."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from tablert_dist.cli import complete

HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
_MODEL = "A bundle (folder or .zip), a checkpoint, a run's name or folder, models:/NAME@ALIAS, or a hub id OWNER/NAME."
config_option = click.option(
    "--config",
    "config_name",
    default="sample",
    show_default=True,
    shell_complete=complete.presets,
    help="A preset (tablert presets lists them) or a TOML file.",
)
assignments_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete.keys,
    help="Override one option, such as model.cnn.kernel_size=5 or predict.provider=cuda (tablert config lists them).",
)
split_option = click.option(
    "--split",
    type=click.Choice(["train", "dev", "test"]),
    default=None,
    help="Split of a folder to read.  [default: test, else the only one]",
)
P = ParamSpec("P")
R = TypeVar("R")


def verb(help: str, *examples: str, **options: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command with `-h` and `--help`, whose help ends with `examples`: command lines as they are typed."""
    return click.command(help=help, epilog=example_lines(examples), context_settings=HELP, **options)


def example_lines(examples: tuple[str, ...]) -> str:
    """The examples as click keeps them: unwrapped, below the options."""
    lines = "\n".join(f"  {line}" for line in examples)
    return f"\b\n{'Example' if len(examples) == 1 else 'Examples'}:\n{lines}"


def config_options(function: Callable[..., R]) -> Callable[..., R]:
    """`--config`, `--data`, `--set`; the verb receives `config`: of a resumed run its own, with what is given here."""

    @config_option
    @click.option(
        "--data",
        default=None,
        type=click.Path(),
        help="Folder with *train.json, *dev.json, *test.json, *types.json, or other formats' files.",
    )
    @assignments_option
    @wraps(function)
    def wrapper(config_name: str, data: str | None, assignments: tuple[str, ...], **rest: Any) -> R:
        from tablert_dist.config import load_config

        overrides = parsed(assignments)
        if data is not None:
            overrides["data.path"] = data
        if rest.get("resume"):
            from tablert_dist.cli.resumed import given, of_record, options_of

            found = (
                None if given("config_name") else of_record(rest["resume"], overrides.get("train.storage"), overrides)
            )
            if found is not None:
                config, record = found
                return function(config=config, **options_of(record, rest))
        return function(config=load_config(config_name, overrides), **rest)

    return wrapper


def trust_option(function: Callable[..., R]) -> Callable[..., R]:
    """`--trust-remote-code`, below `config_options`, whose `config` it changes."""

    @click.option(
        "--trust-remote-code",
        is_flag=True,
        help="Same as model.trust_remote_code: let the encoder run its author's code. Read that code first.",
    )
    @wraps(function)
    def wrapper(config: Any, trust_remote_code: bool, **rest: Any) -> R:
        from tablert_dist.config import with_overrides

        if trust_remote_code:
            config = with_overrides(config, {"model.trust_remote_code": True})
        return function(config=config, **rest)

    return wrapper


def set_option(function: Callable[..., R]) -> Callable[..., R]:
    """`--set` alone, for the verbs that read a finished model; the verb receives `config`."""

    @assignments_option
    @wraps(function)
    def wrapper(assignments: tuple[str, ...], **rest: Any) -> R:
        from tablert_dist.config import load_config

        return function(config=load_config(None, parsed(assignments)), **rest)

    return wrapper


def model_option(
    *old: str, required: bool = True, help: str = _MODEL
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """`--model`, what `find_model` takes; `old` are names that it had before, which still work but are not shown."""

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        @wraps(function)
        def wrapper(model: str | None, old_model: str | None = None, **rest: Any) -> R:
            if model is not None and old_model is not None:
                raise click.UsageError(f"{' and '.join(old)} is the old name of --model: give one of them.")
            if required and model is None and old_model is None:
                raise click.UsageError("Missing option '--model'.")
            return function(model=model if old_model is None else old_model, **rest)

        if old:
            wrapper = click.option(*old, "old_model", default=None, hidden=True, type=click.Path())(wrapper)
        return click.option("--model", default=None, metavar="MODEL", shell_complete=complete.models, help=help)(
            wrapper
        )

    return decorate


force_option = click.option("--force", is_flag=True, help="Write over what is there.")


accept_option = click.option(
    "--accept-changed-data",
    is_flag=True,
    help="With --resume: go on though the data are other ones than before; it is put on record.",
)


def refuse_existing(*paths: Path | None, force: bool) -> None:
    """Raise InputError for the first of these files and folders that is there, unless `force`; devices are written to."""
    from tablert_dist.errors import InputError

    for path in paths:
        if path is not None and not force and (path.is_file() or path.is_dir()):
            raise InputError(f"{path} exists: give another name, or write over it with --force")


def refuse_nowhere(*paths: Path | None) -> None:
    """Raise InputError for the first of these files and folders that has no folder to lie in."""
    from tablert_dist.errors import InputError

    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise InputError(f"{path}: there is no folder '{path.parent}' to write to")


def parsed(assignments: tuple[str, ...]) -> dict[str, Any]:
    """Return what `--set` gave, by key. Raises InputError for one without `=`."""
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
            from tablert_dist.storage.atomic import FORBIDDEN, is_full

            if is_full(error):
                click.echo(f"error: {error.filename or 'a file'} cannot be written: the disk is full", err=True)
                sys.exit(1)
            if error.errno not in FORBIDDEN or error.filename is None:
                raise
            click.echo(f"error: {error.filename} cannot be used: {error.strerror}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(130)

    return wrapper


STEP = "tablert.step"
"""In a context's `meta`: this verb is a step of another, which says itself what comes next."""


def say_next(line: str) -> None:
    """Print `next: LINE`, where the verb was not called as a step of another."""
    context = click.get_current_context(silent=True)
    if context is None or STEP not in context.meta:
        click.echo(f"next: {line}")


def set_up_logging() -> None:
    """Our own warnings, and long waits, as lines; other libraries' chatter only where it is an error.

    Called before torch is imported.
    """
    from tablert_dist.waiting import show_waits

    # Threads that wait for each other spin a little, then sleep (libgomp's own choice is 300 times as long). Beside one
    # busy process on two cores training is twice as fast, alone 8% slower; the results are the same.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Batches of different lengths leave gaps in a GPU's memory that segments of a fixed size cannot close.
    if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("tablert_dist").setLevel(logging.INFO)
    logging.getLogger("export").setLevel(logging.INFO)
    show_waits()


def stopwatch() -> Callable[[str], None]:
    """Start a clock; what is returned prints a summary with the seconds since, on stderr."""
    started = time.monotonic()
    return lambda summary: click.echo(f"{summary} in {time.monotonic() - started:.1f} s", err=True)
