"""`tablert train`, also `python -m tablert_dist.train`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tablert_dist.cli import complete
from tablert_dist.cli.common import (
    accept_option,
    config_options,
    plain_errors,
    say_next,
    set_up_logging,
    trust_option,
    verb,
)
from tablert_dist.cli.reading import reading_options
from tablert_dist.cli.stoppable import stoppable

if TYPE_CHECKING:
    from tablert_dist.config import Config


@verb(
    "Train on annotated sentences.",
    "tablert train --config sample --name first",
    "tablert train --config conll04 --data DIR --set train.seeds=[1,2,3]",
    "tablert train --resume first",
)
@click.option("--name", default=None, help="Name of the run; unset: made from the date and time.")
@click.option("--resume", default=None, metavar="NAME", shell_complete=complete.runs, help="Resume an interrupted run.")
@click.option(
    "--init-from",
    default=None,
    metavar="MODEL",
    shell_complete=complete.models,
    help="Initialise from a checkpoint's weights, or those of a run or of models:/NAME@ALIAS.",
)
@click.option("--no-check", is_flag=True, help="Skip the validation of the data (tablert data check).")
@accept_option
@plain_errors
@config_options
@reading_options
@trust_option
def command(
    config: Config,
    name: str | None,
    resume: str | None,
    init_from: str | None,
    no_check: bool,
    accept_changed_data: bool,
) -> None:
    """Train every seed, print the scores with their protocol."""
    set_up_logging()
    from tablert_dist.cli.program import free_name, near, paste
    from tablert_dist.errors import InputError, counted
    from tablert_dist.waiting import waiting

    if name and resume:
        raise InputError("give --name for a new run or --resume for an old one, not both")
    with stoppable() as stop:
        with waiting("loading PyTorch"):
            from tablert_dist.train.fit import fit
        start = None
        if init_from is not None:
            from tablert_dist.inference.named import find_checkpoint

            start = find_checkpoint(init_from, config, "training starts from a checkpoint, a run or models:/NAME@ALIAS")
        result = fit(
            config,
            resume or name,
            bool(resume),
            start,
            click.echo,
            validate=not no_check,
            stop=stop,
            accept_changed=accept_changed_data,
        )
    for line in result.summary():
        click.echo(line)
    protocol = result.results[0]["scores"]
    if protocol:
        facts = next(iter(protocol.values()))["protocol"]
        click.echo(
            f"protocol: {facts['dataset']} {facts['data_hash'][:8]}, trained on {facts['trained_on']}, micro F1 in percent, "
            f"{facts['encoder']}, {counted(facts['epochs'], 'epoch')}, {facts['selection']}, overlap {facts['overlap']}, "
            f"seeds {', '.join(str(r['seed']) for r in result.results)}"
        )
    checkpoint = near(result.best["checkpoint"])
    click.echo(f"checkpoint: {checkpoint}")
    out = free_name("bundle", result.name)
    say_next(paste("tablert-export", "--onnx", "--model", checkpoint, "--out", out))
