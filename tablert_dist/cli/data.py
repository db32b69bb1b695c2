"""`tablert data VERB`: annotated sentences before training; each verb is imported only when it is called."""

from __future__ import annotations

import click

from tablert_dist.cli.common import HELP, example_lines
from tablert_dist.cli.lazy import LazyGroup

VERBS = {
    "check": "Look for mistakes in annotated sentences.",
    "constraints": "Learn which triples there may be.",
    "convert": "Write annotated sentences in another format.",
    "download": "Fetch CoNLL04, ADE or SciERC.",
    "pick": "Pick the texts to annotate next.",
    "sample": "Draw nested samples for learning curves.",
    "split": "Split into train, dev and test, or into folds.",
}


@click.command(
    cls=LazyGroup,
    verbs=VERBS,
    module="tablert_dist.cli.data_{}",
    help="Convert, check, split and fetch annotated sentences.",
    context_settings=HELP,
    epilog=example_lines(("tablert data convert export.json data.json", "tablert data split data.json --out data")),
)
def command() -> None:
    """The group; its verbs are in `data_*.py`."""
