"""`tablert train`, also `python -m tablert_dist.train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tablert_dist.cli.common import config_options, plain_errors, set_up_logging

if TYPE_CHECKING:
    from tablert_dist.config import Config


@click.command(help="Train on annotated sentences.")
@click.option("--name", default=None, help="Name of the run; unset: made from the date and time.")
@click.option("--resume", default=None, metavar="NAME", help="Resume an interrupted run.")
@click.option(
    "--init-from", type=click.Path(path_type=Path), default=None, help="Initialise from a checkpoint's weights."
)
@click.option("--no-check", is_flag=True, help="Skip the validation of the data (tablert data check).")
@plain_errors
@config_options
def command(config: Config, name: str | None, resume: str | None, init_from: Path | None, no_check: bool) -> None:
    """Train every seed, print the scores with their protocol."""
    set_up_logging()
    from tablert_dist.errors import InputError
    from tablert_dist.train.fit import fit

    if name and resume:
        raise InputError("give --name for a new run or --resume for an old one, not both")
    result = fit(config, resume or name, bool(resume), init_from, click.echo, validate=not no_check)
    for line in result.summary():
        click.echo(line)
    protocol = result.results[0]["scores"]
    if protocol:
        facts = next(iter(protocol.values()))["protocol"]
        click.echo(
            f"protocol: {facts['dataset']} {facts['data_hash'][:8]}, trained on {facts['trained_on']}, micro F1 in percent, "
            f"{facts['encoder']}, {facts['epochs']} epochs, {facts['selection']}, overlap {facts['overlap']}, "
            f"seeds {', '.join(str(r['seed']) for r in result.results)}"
        )
    click.echo(f"checkpoint: {result.best['checkpoint']}")
    click.echo(f"next: tablert-export --onnx --checkpoint {result.best['checkpoint']} --out bundle")
