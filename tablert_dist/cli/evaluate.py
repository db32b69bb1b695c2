"""`tablert evaluate`: score a bundle or a checkpoint on annotated sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tablert_dist.cli.common import plain_errors, set_option, set_up_logging

if TYPE_CHECKING:
    from tablert_dist.config import Config


@click.command(help="Score a model on annotated sentences.")
@click.option("--model", required=True, type=click.Path(path_type=Path), help="A bundle or a checkpoint.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="A JSON file (SpERT's or BILOU tags).")
@click.option("--report", default=None, type=click.Path(path_type=Path), help="Also write a page of the errors (HTML).")
@click.option(
    "--precision",
    default=0.9,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Precision that the thresholds on the page aim at.",
)
@click.option("--out", default=None, type=click.Path(path_type=Path), help="Also write the scores as JSON.")
@plain_errors
@set_option
def command(config: Config, model: Path, data: Path, report: Path | None, precision: float, out: Path | None) -> None:
    """Print NER, RE and RE+ by type with both averages."""
    set_up_logging()
    from tablert_dist.data.splits import read_file
    from tablert_dist.inference.predictor import Predictor
    from tablert_dist.scoring import LEVELS, TITLES, count

    predictor = Predictor.load(model, config.predict)
    gold = read_file(data, predictor.tags.schema, config.data.overlap, model=predictor.model)
    found_here = predictor.annotate([s.words for s in gold])
    scores = count(zip(gold, found_here, strict=True), predictor.tags.schema).scores()
    click.echo(f"{data.name}: {len(gold)} sentences, overlap {config.data.overlap}")
    click.echo(f"{'':24}{'P':>8}{'R':>8}{'F1':>8}{'support':>9}")
    for level in LEVELS:
        found = scores.levels[level]
        rows = [("micro", found.micro), ("macro", found.macro), *found.by_type.items()]
        for name, ratio in rows:
            label = f"{TITLES[level]} {name}"
            values = "".join(f"{100 * v:8.1f}" for v in (ratio.precision, ratio.recall, ratio.f1))
            click.echo(f"{label:24}{values}{ratio.support:9d}")
    if report:
        from tablert_dist.analysis.errors import examine
        from tablert_dist.pages.errors.page import write_page

        errors = examine(gold, found_here, predictor.tags.schema, precision)
        click.echo(f"written: {write_page(errors, report, data.name, f'overlap {config.data.overlap}')}")
    if out:
        from tablert_dist.storage.atomic import write_json

        write_json(out, json.loads(json.dumps(scores.to_json())))
