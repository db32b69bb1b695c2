"""`tablert sync FOLDER`: send what MLflow has not got yet."""

from __future__ import annotations

from pathlib import Path

import click

from tablert_dist.cli.common import plain_errors, set_up_logging, verb


@verb("Send a run's journal to MLflow.", "tablert sync runs/first/seed-1 --uri http://localhost:5000")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--uri", default=None, help="MLflow address to send to; unset: the journal's.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to keep trying.")
@plain_errors
def command(folder: Path, uri: str | None, timeout: float) -> None:
    """Replay the journal; exit code 1 where something is left."""
    set_up_logging()
    from tablert_dist.tracking import replay

    if not replay(folder, timeout, uri):
        raise click.ClickException(f"MLflow did not take everything within {timeout:g} s; run the same command again")
    click.echo("everything is in MLflow")
