"""`tablert VERB`: each verb is imported only when it is called, so that `tablert --help` is quick."""

from __future__ import annotations

import click

from tablert_dist.cli.common import HELP, example_lines
from tablert_dist.cli.lazy import LazyGroup

VERBS = {
    "data": "Convert, check, split and fetch annotated sentences.",
    "quick": "Go from an annotation tool's export to a tested, exported model in one command.",
    "train": "Train on annotated sentences.",
    "tune": "Search the head's settings, export and register the best model.",
    "study": "Compare systems as the paper does: by encoder layer, or on whole data sets.",
    "evaluate": "Score a model on annotated sentences.",
    "calibrate": "Fit the temperatures of a model's probabilities.",
    "predict": "Extract entities and relations from text.",
    "serve": "Answer requests over HTTP.",
    "graph": "Write results as a knowledge graph: a file, tables, or a database.",
    "render": "Show results as a page.",
    "profile": "Measure where the time of a training step goes.",
    "status": "Show how far a run is, or list the runs.",
    "ui": "Show the runs in MLflow's page.",
    "sync": "Send a run's journal to MLflow.",
    "config": "Explain the configuration's keys.",
    "presets": "List the shipped configurations, or print one.",
    "completion": "Print a shell's completion script.",
}


EXAMPLES = ("tablert train --help", "tablert tune --config sample --space smoke", "tablert predict --model runs/NAME")


@click.command(
    cls=LazyGroup,
    verbs=VERBS,
    module="tablert_dist.cli.{}",
    context_settings=HELP,
    epilog=example_lines(EXAMPLES),
)
@click.version_option(package_name="tablert-dist")
def main() -> None:
    """Joint entity and relation extraction by table labelling."""
