"""`tablert data constraints DATA`: what holds of the triples of annotated sentences, as rules for prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tablert_dist.cli.common import (
    force_option,
    plain_errors,
    refuse_existing,
    refuse_nowhere,
    say_next,
    set_option,
    set_up_logging,
    stopwatch,
    verb,
)
from tablert_dist.cli.reading import reading_options, say_read

if TYPE_CHECKING:
    from tablert_dist.config import Config
    from tablert_dist.heads.constraints import Constraints
    from tablert_dist.schema import Schema, Sentence


@verb(
    "Learn which types of entities each relation has, and whether a head has one tail, from annotated sentences: the train "
    "split of a folder, or a file.",
    "tablert data constraints data",
    "tablert data constraints data --out rules.json --min-count 2",
)
@click.argument("source", metavar="DATA", type=click.Path())
@click.option(
    "--out",
    default=None,
    type=click.Path(path_type=Path),
    help="Also write them, a types file with rules: for predict.constraints, or to train with.",
)
@click.option(
    "--min-count",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Relations that a pair of types needs to be allowed.",
)
@force_option
@plain_errors
@set_option
@reading_options
def command(config: Config, source: str, out: Path | None, min_count: int, force: bool) -> None:
    """Print the rules with their counts, and how many gold triples of every split break them."""
    set_up_logging()
    from tablert_dist.cli.program import paste
    from tablert_dist.data.annotated import types_bytes
    from tablert_dist.data.constraints import learn, without_rule
    from tablert_dist.errors import counted
    from tablert_dist.storage.atomic import write_bytes

    summary = stopwatch()
    refuse_nowhere(out)
    refuse_existing(out, force=force)
    name, schema, splits, given = _read(config, source)
    learned = learn(splits[name], schema, f"{Path(source).name} {name}".strip(), min_count)
    for line in (*learned.lines(), *without_rule(learned, schema)):
        click.echo(line)
    _say_broken(learned, schema, splits)
    if given:
        click.echo("\n".join(given.lines()))
        _say_broken(given, schema, splits)
        click.echo(f"a training keeps those that are {given.note}, not the learned ones")
    if out:
        write_bytes(out, types_bytes(schema, learned))
        click.echo(f"written: {out}")
        words = ("tablert", "predict", "--model", "bundle", "--in", "texts.txt", "--out", "triples.jsonl")
        say_next(paste(*words, "--set", f"predict.constraints={out}"))
    summary(f"{counted(len(splits[name]), 'sentence')} read")


Splits = Mapping[str, "Sequence[Sentence]"]


def _read(config: Config, source: str) -> tuple[str, Schema, Splits, Constraints | None]:
    """The split to learn from, the types, all splits, and the rules of the types file. A file is one split without a name."""
    from tablert_dist.data import formats, load_corpus
    from tablert_dist.data.annotated import read_all, rules_of
    from tablert_dist.storage.paths import locate

    path = locate(source, "data")
    if path.is_dir():
        # What a table cannot hold is gold all the same, unless a policy was asked for.
        policy = "keep-gold" if config.data.overlap == "error" else config.data.overlap
        data = config.data.model_copy(update={"path": source, "overlap": policy})
        corpus = load_corpus(data)
        for line in corpus.notes:
            click.echo(line)
        return "train", corpus.schema, dict(corpus.splits), corpus.constraints
    notes = formats.Notes(config.data.strict, config.data.text_field)
    sentences, schema = read_all(path, config.data.format, notes)
    say_read(notes)
    return "", schema, {"": sentences}, rules_of(path)


def _say_broken(constraints: Constraints, schema: Schema, splits: Splits) -> None:
    from tablert_dist.heads.rules import Rules
    from tablert_dist.tags import TagSet

    rules = Rules.of(constraints, TagSet(schema))
    for name, sentences in splits.items():
        click.echo(f"gold triples that break them{f', {name}' if name else ''}: {rules.broken(sentences)}")
        for line in rules.most_broken(sentences):
            click.echo(f"  {line}")
