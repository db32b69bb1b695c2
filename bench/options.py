"""The options that benches share. `--smoke` replaces the other options' defaults, so it runs the same code on less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from bench.sources import ENCODERS, SAMPLE, TINY_SHAPE, corpus_folder

SMOKE = "bench.smoke"
"""Key in click's context: whether the running command was called with --smoke."""
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class UnavailableError(click.ClickException):
    """This machine cannot run the bench; the message says what is missing.

    The smoke test skips instead of failing, and the row in BENCHMARKS.md holds the message.
    """

    exit_code = 3


def smoke_option(**tiny: Any) -> Decorator:
    """Add `--smoke`: seconds on tiny shapes. `tiny` gives other defaults by parameter; a callable is called for its value.

    An option that the user gives as well still wins. The function itself does not learn of the flag: it cannot take
    another path, so the smoke test runs what is measured.
    """

    def switch(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            context.default_map = tiny
            context.meta[SMOKE] = True

    return click.option(
        "--smoke",
        is_flag=True,
        # Eager: click handles it before the options whose defaults it replaces.
        is_eager=True,
        expose_value=False,
        callback=switch,
        help="Run in seconds on tiny shapes: shows that the bench works, not how fast anything is.",
    )


def smoking() -> bool:
    """Return whether the running command was called with --smoke."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(SMOKE))


def encoder_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--encoder`, one of ENCODERS."""
    choice = click.Choice(ENCODERS)
    return click.option("--encoder", type=choice, default=ENCODERS[0], show_default=True)(function)


def data_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--data`: a corpus folder."""

    def or_default(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
        return value or corpus_folder()

    text = "A corpus folder; unset: CoNLL04, or the packaged sample."
    return click.option("--data", default=None, callback=or_default, help=text)(function)


TINY = {"encoder": TINY_SHAPE, "data": SAMPLE}
"""For `smoke_option`: the smallest encoder, and a corpus that every installation has."""
