"""`tablert data convert IN OUT`: annotated sentences from one format into another."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tablert_dist.cli.common import force_option, plain_errors, refuse_existing, stopwatch, verb
from tablert_dist.cli.reading import say_read, strict_option, text_field_option

if TYPE_CHECKING:
    from tablert_dist.schema import Schema, Sentence


@verb(
    "Write the annotated sentences of IN, a file or a folder, to OUT in another format.",
    "tablert data convert export.json data.json",
    "tablert data convert triples.jsonl import.json --to labelstudio-predictions",
    "tablert data convert export.json data.json --symmetric married_to",
)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--format", "given", default="auto", show_default=True, metavar="NAME", help="Format of the input file.")
@click.option("--to", "wanted", default=None, metavar="NAME", help="Format of the output; unset: told by its ending.")
@strict_option
@text_field_option
@click.option(
    "--symmetric",
    multiple=True,
    metavar="TYPE",
    help="Relation type without a direction, or 'auto': those written in both directions on nearly all pairs. Repeatable. "
    "Also writes a types file, OUT's name with _types.json, that says so.",
)
@force_option
@plain_errors
def command(
    source: Path,
    out: Path,
    given: str,
    wanted: str | None,
    strict: bool,
    text_field: str | None,
    symmetric: tuple[str, ...],
    force: bool,
) -> None:
    """Print what was written, what the reader left out or changed, and what the format cannot hold."""
    from tablert_dist.data import formats
    from tablert_dist.data.annotated import rules_of, schema_of, write_types
    from tablert_dist.data.directions import declare
    from tablert_dist.data.formats import types_file
    from tablert_dist.errors import InputError, counted

    summary = stopwatch()
    # What is no file may be a hub id, but only where that is said.
    if given != "hf" and not source.exists():
        raise InputError(f"{source} does not exist")
    name = wanted or formats.ENDINGS.get(out.suffix.lower())
    if name is None:
        raise InputError(f"{out}: its ending does not say which format: add --to {'|'.join(formats.NAMES)}")
    if out.is_dir():
        raise InputError(f"{out} is a folder that exists: give another name, or remove it first")
    types = types_file.own(out) if symmetric else None
    refuse_existing(out, types, force=force)
    notes = formats.Notes(strict, text_field)
    sentences: Iterable[Sentence] = formats.iterate(source, given, notes)
    schema: Schema | None = None
    why: list[str] = []
    if types is not None:
        # All types have to be known before the first sentence is written: BRAT lists them.
        sentences = list(sentences)
        schema, why = declare(sentences, schema_of(source, sentences), symmetric)
    written = formats.write(sentences, out, name, schema)
    if types is not None and schema is not None:
        why += write_types(types, schema, name, rules_of(source))
    say_read(notes)
    for line in (*written.lines(), *why):
        click.echo(line)
    summary(f"{counted(written.sentences, 'sentence')} converted")
