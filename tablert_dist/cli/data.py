"""`tablert data VERB`: annotated sentences before training; each verb is imported only when it is called."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import click

VERBS = {
    "check": "Look for mistakes in annotated sentences.",
    "convert": "Write annotated sentences in another format.",
    "download": "Fetch CoNLL04, ADE or SciERC.",
    "sample": "Draw nested samples for learning curves.",
    "split": "Split into train, dev and test, or into folds.",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = f"tablert_dist.cli.data_{cmd_name}"
        if cmd_name not in VERBS or find_spec(module) is None:
            return None
        command = import_module(module).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The default would import every verb for its first line.
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=_Lazy, help="Convert, check, split and fetch annotated sentences.")
def command() -> None:
    """The group; its verbs are in `data_*.py`."""
