"""`tablert evaluate`: score a model, or predictions that were kept, on annotated sentences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tablert_dist.cli.common import (
    force_option,
    model_option,
    plain_errors,
    refuse_existing,
    refuse_nowhere,
    set_option,
    set_up_logging,
    split_option,
    stopwatch,
    verb,
)
from tablert_dist.cli.reading import reading_options, say_read

if TYPE_CHECKING:
    from tablert_dist.analysis.constrained import Checked
    from tablert_dist.config import Config
    from tablert_dist.data.gold import Source
    from tablert_dist.heads.temperatures import Measured
    from tablert_dist.inference.predictor import Predictor
    from tablert_dist.schema import Schema, Sentence
    from tablert_dist.scoring import Scores


@verb(
    "Score a model, or predictions that were kept, on annotated sentences: NER, RE and RE+ with both averages.",
    "tablert evaluate --model runs/first --data data",
    "tablert evaluate --model bundle --data data/dev.json --report errors.html",
    "tablert evaluate --predictions triples.jsonl --data data/test.json",
)
@model_option(required=False)
@click.option(
    "--predictions",
    default=None,
    type=click.Path(path_type=Path),
    help="Score these instead of a model: JSON lines of tablert predict, or annotated sentences in any format.",
)
@click.option("--data", required=True, type=click.Path(), help="Annotated sentences: a file, or a folder of splits.")
@split_option
@click.option("--report", default=None, type=click.Path(path_type=Path), help="Also write a page of the errors (HTML).")
@click.option(
    "--precision",
    default=0.9,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Precision that the thresholds on the page aim at.",
)
@click.option("--out", default=None, type=click.Path(path_type=Path), help="Also write the scores as JSON.")
@force_option
@plain_errors
@set_option
@reading_options
def command(
    config: Config,
    model: str | None,
    predictions: Path | None,
    data: str,
    split: str | None,
    report: Path | None,
    precision: float,
    out: Path | None,
    force: bool,
) -> None:
    """Print NER, RE and RE+ by type with both averages."""
    set_up_logging()
    from tablert_dist.data.gold import find_gold
    from tablert_dist.errors import InputError, counted
    from tablert_dist.scoring import LEVELS, TITLES, count

    if (model is None) == (predictions is None):
        raise InputError("give either --model MODEL or --predictions FILE")
    source = find_gold(data, split)
    refuse_nowhere(report, out)
    refuse_existing(report, out, force=force)
    summary = stopwatch()
    read = _kept(config, predictions, source) if predictions else _predicted(config, str(model), source)
    gold, found, schema, predictor = read
    scores = count(zip(gold, found, strict=True), schema).scores()
    click.echo(f"{source.title}: {counted(len(gold), 'sentence')}, overlap {config.data.overlap}")
    _table(scores)
    checked = _checked(config, predictor, found, schema)
    if checked:
        click.echo(str(checked))
    before = _uncalibrated(predictor, gold) if report or out else None
    if report:
        from tablert_dist.analysis.errors import examine
        from tablert_dist.pages.errors.page import write_page

        errors = examine(gold, found, schema, precision, before=before, constraints=checked)
        click.echo(f"written: {write_page(errors, report, source.title, f'overlap {config.data.overlap}')}")
    if out:
        from tablert_dist.storage.atomic import write_json

        told = {
            **scores.to_json(),
            "calibration": _calibration(gold, found, schema, predictor, before),
            "constraints": checked and checked.model_dump(),
        }
        write_json(out, json.loads(json.dumps(told)))
    micro = ", ".join(f"{TITLES[level]} {100 * scores.f1(level):.1f}" for level in LEVELS)
    summary(f"{counted(len(gold), 'sentence')} scored, micro F1: {micro};")


Read = tuple[Sequence["Sentence"], Sequence["Sentence"], "Schema", "Predictor | None"]


def _predicted(config: Config, model: str, source: Source) -> Read:
    """Gold and what the model finds, under the model's types."""
    from tablert_dist.data.gold import read_gold
    from tablert_dist.inference.named import find_model
    from tablert_dist.inference.predictor import Predictor

    predictor = Predictor.load(find_model(model, config), config.predict)
    schema = predictor.tags.schema
    gold = read_gold(source, schema, config.data, predictor.model, click.echo)
    return gold, predictor.annotate([s.words for s in gold]), schema, predictor


def _uncalibrated(predictor: Predictor | None, gold: Sequence[Sentence]) -> Measured | None:
    """The calibration errors without the model's temperatures, where it has some."""
    from tablert_dist.analysis.fitting import measure
    from tablert_dist.analysis.rereading import read_at
    from tablert_dist.heads.temperatures import NEUTRAL

    if predictor is None or predictor.scheme.temperatures.neutral:
        return None
    (found,) = read_at(predictor, [s.words for s in gold], [NEUTRAL])
    return measure(gold, found, predictor.tags.schema)


def _checked(config: Config, predictor: Predictor | None, found: Sequence[Sentence], schema: Schema) -> Checked | None:
    """What is predicted against the model's rules; kept predictions against those of the file that is given."""
    from tablert_dist.analysis.constrained import check_kept, check_predictions
    from tablert_dist.inference.constraining import find_rules
    from tablert_dist.tags import TagSet

    if predictor is not None:
        return check_predictions(predictor, found)
    rules = find_rules(config.predict, None, TagSet(schema))
    return None if rules is None else check_kept(rules, found)


def _calibration(
    gold: Sequence[Sentence],
    found: Sequence[Sentence],
    schema: Schema,
    predictor: Predictor | None,
    before: Measured | None,
) -> dict[str, Any]:
    """Temperatures, expected calibration errors in 0–1, and over how many predictions."""
    from tablert_dist.analysis.judged import reliability

    after = reliability(list(zip(gold, found, strict=True)), schema)
    return {
        "temperatures": predictor and predictor.scheme.temperatures.model_dump(),
        "before": before and before.model_dump(),
        "after": after.measured.model_dump(),
        "predictions": {kind: curve.count for kind, curve in vars(after).items()},
    }


def _kept(config: Config, predictions: Path, source: Source) -> Read:
    """Gold and what the file says, under the data's types and those that only the file has."""
    from tablert_dist.data import formats
    from tablert_dist.data.gold import read_gold, schema_of
    from tablert_dist.data.kept import match

    # A prediction that cannot be read has no sentence to be compared with.
    notes = formats.Notes(strict=True)
    gold = read_gold(source, schema_of(source, data=config.data), config.data, say=click.echo)
    pairs = match(gold, predictions, source.title, notes)
    say_read(notes)
    found = [theirs for _, theirs in pairs]
    return [ours for ours, _ in pairs], found, schema_of(source, found, data=config.data), None


def _table(scores: Scores) -> None:
    from tablert_dist.scoring import LEVELS, TITLES

    click.echo(f"{'':24}{'P':>8}{'R':>8}{'F1':>8}{'support':>9}")
    for level in LEVELS:
        found = scores.levels[level]
        rows = [("micro", found.micro), ("macro", found.macro), *found.by_type.items()]
        for name, ratio in rows:
            label = f"{TITLES[level]} {name}"
            values = "".join(f"{100 * v:8.1f}" for v in (ratio.precision, ratio.recall, ratio.f1))
            click.echo(f"{label:24}{values}{ratio.support:9d}")
