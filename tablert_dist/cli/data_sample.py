"""`tablert data sample IN --out FILE`: nested samples for learning curves."""

from __future__ import annotations

from pathlib import Path

import click

from tablert_dist.cli.common import (
    force_option,
    plain_errors,
    refuse_existing,
    refuse_nowhere,
    set_up_logging,
    stopwatch,
    verb,
)
from tablert_dist.cli.reading import say_read, strict_option, text_field_option


@verb(
    "Draw sentences at random; with one seed, a smaller sample is part of every larger one.",
    "tablert data sample data/train.json --share 0.25,0.5 --out curve.json",
    "tablert data sample data/train.json --n 100 --out hundred.json",
)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="FILE.json; with several shares FILE-0.1.json …"
)
@click.option("--n", "count", default=None, type=int, help="Number of sentences to draw.")
@click.option("--share", "shares", default=None, metavar="0.1,0.2,…", help="Shares of all sentences to draw.")
@click.option("--seed", default=1, show_default=True, help="Same seed, same samples.")
@click.option("--format", "form", default="auto", show_default=True, help="Format of the input file.")
@strict_option
@text_field_option
@force_option
@plain_errors
def command(
    source: Path,
    out: Path,
    count: int | None,
    shares: str | None,
    seed: int,
    form: str,
    strict: bool,
    text_field: str | None,
    force: bool,
) -> None:
    """Write each sample as SpERT's JSON, its sentences in the order of IN."""
    set_up_logging()
    from tablert_dist.data.annotated import read_all, spert_bytes, write_files
    from tablert_dist.data.formats import Notes
    from tablert_dist.data.partition import nested_samples
    from tablert_dist.errors import InputError, counted

    summary = stopwatch()
    if (count is None) == (shares is None):
        raise InputError("give either --n N or --share 0.1,0.2,…")
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    refuse_nowhere(out)
    notes = Notes(strict, text_field)
    sentences, _ = read_all(source, form, notes)
    say_read(notes)
    if count is not None:
        sizes = {out: count}
    else:
        named = _shares(shares or "")
        single = len(named) == 1
        sizes = {
            out if single else out.with_name(f"{out.stem}-{name}{out.suffix or '.json'}"): max(1, round(share * len(sentences)))
            for name, share in named.items()
        }  # fmt: skip
    refuse_existing(*sizes, force=force)
    samples = nested_samples(len(sentences), list(sizes.values()), seed)
    write_files({path: spert_bytes([sentences[i] for i in s]) for path, s in zip(sizes, samples, strict=True)})
    for path, sample in zip(sizes, samples, strict=True):
        click.echo(f"{path}: {len(sample)} of {counted(len(sentences), 'sentence')}")
    summary(f"{counted(len(samples), 'sample')} drawn")


def _shares(text: str) -> dict[str, float]:
    from tablert_dist.errors import InputError

    shares = {}
    for item in (part.strip() for part in text.split(",")):
        try:
            share = float(item)
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            raise InputError(f"--share {text}: '{item}' is no share above 0 and up to 1")
        shares[item] = share
    return shares
