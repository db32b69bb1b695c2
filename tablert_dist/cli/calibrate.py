"""`tablert calibrate`: fit the temperatures of a finished checkpoint on annotated sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tablert_dist.cli.common import (
    force_option,
    model_option,
    plain_errors,
    say_next,
    set_option,
    set_up_logging,
    verb,
)
from tablert_dist.cli.reading import reading_options

if TYPE_CHECKING:
    from tablert_dist.config import Config


@verb(
    "Fit the temperatures of a model's probabilities on annotated sentences that it was not trained on. A training does so on "
    "dev; this is for older checkpoints and for other sentences.",
    "tablert calibrate --model first --data data --out calibrated",
    "tablert calibrate --model runs/first --data data/dev.json --out calibrated --force",
)
@model_option(help="A checkpoint, a finished run's name or folder, or models:/NAME@ALIAS.")
@click.option(
    "--data", required=True, type=click.Path(), help="Annotated sentences: a file, or a folder with a dev split."
)
@click.option(
    "--split",
    type=click.Choice(["train", "dev", "test"]),
    default=None,
    help="Split of a folder to read.  [default: dev, else the only one]",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Checkpoint to write: the model with them.")
@force_option
@plain_errors
@set_option
@reading_options
def command(config: Config, model: str, data: str, split: str | None, out: Path, force: bool) -> None:
    """Write a copy of the checkpoint; the weights are the same."""
    set_up_logging()
    from tablert_dist.cli.program import paste
    from tablert_dist.data.gold import find_gold, read_gold
    from tablert_dist.errors import InputError
    from tablert_dist.inference.named import find_checkpoint
    from tablert_dist.storage.checkpoint_folder import META
    from tablert_dist.waiting import waiting

    if out.exists() and not (force and (out / META).is_file()):
        replaced = ", or replace it with --force" if (out / META).is_file() else ""
        raise InputError(f"{out} exists; give a folder that does not{replaced}")
    checkpoint = find_checkpoint(model, config, "give its checkpoint or its run, and export it again afterwards")
    source = find_gold(data, split, preferred="dev")
    with waiting("loading PyTorch"):
        from tablert_dist.analysis.fitting import fit_temperatures
        from tablert_dist.inference.predictor import Predictor
        from tablert_dist.model.checkpoint import copy_calibrated
    predictor = Predictor.load(checkpoint)
    gold = read_gold(source, predictor.tags.schema, config.data, predictor.model, click.echo)
    fitted = fit_temperatures(predictor, gold, source.title)
    copy_calibrated(checkpoint, out, fitted)
    for line in fitted.lines():
        click.echo(line)
    click.echo(f"checkpoint: {out}")
    say_next(paste("tablert-export", "--onnx", "--model", out, "--out", "bundle"))
