"""`tablert VERB`: each verb is imported only when it is called, so that `tablert --help` is quick."""

from __future__ import annotations

from importlib import import_module

import click

VERBS = {
    "data": "Convert, check, split and fetch annotated sentences.",
    "train": "Train on annotated sentences.",
    "tune": "Search the head's settings, export and register the best model.",
    "study": "Compare systems as the paper does: by encoder layer, or on whole data sets.",
    "evaluate": "Score a model on annotated sentences.",
    "predict": "Extract entities and relations from text.",
    "serve": "Answer requests over HTTP.",
    "render": "Show results as a page.",
    "profile": "Measure where the time of a training step goes.",
    "status": "Show how far a run is, or list the runs.",
    "sync": "Send a run's journal to MLflow.",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = import_module(f"tablert_dist.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The default would import every verb for its first line.
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=_Lazy)
@click.version_option(package_name="tablert-dist")
def main() -> None:
    """Joint entity and relation extraction by table labelling."""
