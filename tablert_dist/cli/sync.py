"""`tablert sync FOLDER`: send what MLflow has not got yet."""

from __future__ import annotations

import time
from pathlib import Path

import click

from tablert_dist.cli.common import plain_errors, set_up_logging, verb


@verb(
    "Send a run's journals to MLflow: its own, then those of its seeds or trials.",
    "tablert sync runs/first --uri http://localhost:5000",
    "tablert sync runs/search",
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--uri", default=None, help="MLflow address to send to; unset: the journal's.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to keep trying.")
@plain_errors
def command(folder: Path, uri: str | None, timeout: float) -> None:
    """Replay the journals, the parent's first; exit code 1 where something is left."""
    set_up_logging()
    from tablert_dist.errors import InputError, counted
    from tablert_dist.tracking import journals_of, replay

    if not folder.is_dir():
        raise InputError(f"there is no folder '{folder}': give the folder of a run, such as runs/NAME")
    parts, sent, deadline = journals_of(folder), 0, time.monotonic() + timeout
    for part in parts:
        # Each gets its turn, also where one before it took all the time.
        sent += replay(part, max(deadline - time.monotonic(), 1.0), uri)
    if sent < len(parts):
        raise click.ClickException(
            f"MLflow took {sent} of {counted(len(parts), 'run')} within {timeout:g} s; run the same command again"
        )
    click.echo(f"everything is in MLflow: {counted(len(parts), 'run')}")
