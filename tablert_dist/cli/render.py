"""`tablert render`: results, or a model's reading of texts or annotated sentences, as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
    verb,
)
from tablert_dist.cli.reading import name_of, reading_options, result_lines

if TYPE_CHECKING:
    from tablert_dist.config import Config
    from tablert_dist.pages.sentences import Page


@verb(
    "Show results as a page that opens from a file: entities, relations, and with a model its tables.",
    "tablert render --in triples.jsonl --out triples.html",
    "tablert render --model bundle --data data --split dev --out dev.html",
    "tablert render --model bundle --text 'Ada works at Acme .' --out ada.html",
)
@click.option("--in", "source", default=None, help="JSON lines from `tablert predict`; - is standard input.")
@model_option(required=False)
@click.option("--data", default=None, type=click.Path(), help="With --model: annotated sentences, a file or a folder.")
@split_option
@click.option("--text", "texts", multiple=True, help="With --model: a sentence to read. May be given again.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The page to write, such as page.html.")
@click.option("--limit", default=None, type=click.IntRange(min=1), help="Most sentences on the page.  [default: 2000]")
@force_option
@plain_errors
@set_option
@reading_options
def command(
    config: Config,
    source: str | None,
    model: str | None,
    data: str | None,
    split: str | None,
    texts: tuple[str, ...],
    out: Path,
    limit: int | None,
    force: bool,
) -> None:
    """One page from `--in`, from `--model` and `--data`, or from `--model` and `--text`."""
    set_up_logging()
    from tablert_dist.errors import InputError, counted
    from tablert_dist.pages.sentences import DEFAULT_LIMIT, write_page

    if bool(source) == bool(model):
        raise InputError("give either --in with results, or --model with --data or --text")
    if split and not data:
        raise InputError("--split is for --data with a folder")
    if source and (data or texts):
        raise InputError("--data and --text are for --model, not for --in, whose results are finished")
    if model and bool(data) == bool(texts):
        raise InputError("--model needs either --data with annotated sentences or --text with a sentence")
    refuse_nowhere(out)
    if out.is_dir():
        raise InputError(f"{out} is a folder; name the page, such as {out / 'page.html'}")
    refuse_existing(out, force=force)
    limit = limit or DEFAULT_LIMIT
    page = _finished(source, limit) if source else _read(config, str(model), data, split, texts, limit)
    write_page(page, out)
    click.echo(f"{out}: {counted(len(page.cards), 'sentence')}")


def _finished(source: str, limit: int) -> Page:
    from tablert_dist.pages.sentences import read_results, results_page

    with result_lines(source) as lines:
        found = read_results(lines, name_of(source), limit)
        return results_page(found, Path(name_of(source)).name)


def _read(config: Config, model: str, data: str | None, split: str | None, texts: tuple[str, ...], limit: int) -> Page:
    from tablert_dist.data.gold import find_gold, read_gold
    from tablert_dist.inference.named import find_model
    from tablert_dist.inference.predictor import Predictor
    from tablert_dist.pages.drawing.results import over_limit
    from tablert_dist.pages.sentences import annotated_page, texts_page

    if len(texts) > limit:
        raise over_limit(f"--text: {len(texts)} texts", limit)
    gold_in = None if data is None else find_gold(data, split)
    found = find_model(model, config)
    predictor = Predictor.load(found, config.predict)
    # A path may be as long as it likes, and a page is shown to others.
    shown = found.resolve().name if Path(model).exists() else model
    if gold_in is None:
        return texts_page(predictor, texts, f"read by {shown}")
    gold = read_gold(gold_in, predictor.tags.schema, config.data, predictor.model, click.echo)
    note = f"gold against {shown}"
    if config.data.overlap != "error":
        note += f", overlapping entities: {config.data.overlap}"
    return annotated_page(predictor, gold, gold_in.title, limit, note)
