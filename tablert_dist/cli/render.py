"""`tablert render`: results, or a model's reading of texts or annotated sentences, as one HTML page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tablert_dist.cli.common import plain_errors, set_option, set_up_logging

if TYPE_CHECKING:
    from tablert_dist.config import Config
    from tablert_dist.pages.sentences import Page


@click.command(help="Show results as a page that opens from a file: entities, relations, and with a model its tables.")
@click.option("--in", "source", default=None, help="JSON lines from `tablert predict`; - is standard input.")
@click.option("--model", default=None, type=click.Path(path_type=Path), help="A bundle or a checkpoint.")
@click.option("--data", default=None, type=click.Path(path_type=Path), help="With --model: annotated sentences.")
@click.option("--text", "texts", multiple=True, help="With --model: a sentence to read. May be given again.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The page to write, such as page.html.")
@click.option("--limit", default=None, type=click.IntRange(min=1), help="Most sentences on the page.  [default: 2000]")
@plain_errors
@set_option
def command(
    config: Config,
    source: str | None,
    model: Path | None,
    data: Path | None,
    texts: tuple[str, ...],
    out: Path,
    limit: int | None,
) -> None:
    """One page from `--in`, from `--model` and `--data`, or from `--model` and `--text`."""
    set_up_logging()
    from tablert_dist.errors import InputError
    from tablert_dist.pages.sentences import DEFAULT_LIMIT, write_page

    if bool(source) == bool(model):
        raise InputError("give either --in with results, or --model with --data or --text")
    if source and (data or texts):
        raise InputError("--data and --text are for --model, not for --in, whose results are finished")
    if model and bool(data) == bool(texts):
        raise InputError("--model needs either --data with annotated sentences or --text with a sentence")
    if not out.parent.is_dir():
        raise InputError(f"{out}: there is no folder '{out.parent}' to write to")
    if out.is_dir():
        raise InputError(f"{out} is a folder; name the page, such as {out / 'page.html'}")
    limit = limit or DEFAULT_LIMIT
    page = _finished(source, limit) if source else _read(config, model, data, texts, limit)
    write_page(page, out)
    click.echo(f"{out}: {len(page.cards)} sentence{'' if len(page.cards) == 1 else 's'}")


def _finished(source: str, limit: int) -> Page:
    from tablert_dist.errors import InputError
    from tablert_dist.pages.sentences import read_results, results_page

    if source == "-":
        return results_page(read_results(sys.stdin, "standard input", limit), "standard input")
    path = Path(source)
    try:
        with path.open(encoding="utf-8") as lines:
            return results_page(read_results(lines, source, limit), path.name)
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: not UTF-8 at byte {error.start}") from None


def _read(config: Config, model: Any, data: Path | None, texts: tuple[str, ...], limit: int) -> Page:
    from tablert_dist.inference.predictor import Predictor
    from tablert_dist.pages.sentences import annotated_page, texts_page
    from tablert_dist.pages.sentences.results import over_limit

    if len(texts) > limit:
        raise over_limit(f"--text: {len(texts)} texts", limit)
    predictor = Predictor.load(model, config.predict)
    if data is None:
        return texts_page(predictor, texts, f"read by {Path(model).resolve().name}")
    from tablert_dist.data.splits import read_file

    gold = read_file(data, predictor.tags.schema, config.data.overlap, model=predictor.model)
    note = f"gold against {Path(model).resolve().name}"
    if config.data.overlap != "error":
        note += f", overlapping entities: {config.data.overlap}"
    return annotated_page(predictor, gold, data.name, limit, note)
