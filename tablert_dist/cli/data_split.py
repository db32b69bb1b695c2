"""`tablert data split IN --out DIR`: parts or folds that do not share a document or a sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tablert_dist.cli.common import force_option, plain_errors, say_next, set_up_logging, stopwatch, verb
from tablert_dist.cli.reading import say_read, strict_option, text_field_option

if TYPE_CHECKING:
    from tablert_dist.data.partition import By
    from tablert_dist.schema import Schema, Sentence

PARTS = "train=0.8,dev=0.1,test=0.1"


@verb(
    "Split annotated sentences by document, stratified by relation type.",
    "tablert data split data.json --out data",
    "tablert data split data.json --out folds --folds 5",
)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option("--parts", default=None, metavar="NAME=SHARE,…", help=f"Names and shares.  [default: {PARTS}]")
@click.option("--folds", default=None, metavar="K|ade", help="K folds instead, or the ten official ones of ADE.")
@click.option(
    "--ids", default=None, type=click.Path(path_type=Path), help="Lists of orig_id for each fold (with --folds ade)."
)
@click.option("--seed", default=1, show_default=True, help="Same seed, same parts.")
@click.option(
    "--by",
    type=click.Choice(["document", "sentence"]),
    default="document",
    show_default=True,
    help="Sentences that stay in one part; equal sentences always do.",
)
@click.option("--format", "form", default="auto", show_default=True, help="Format of the input file.")
@strict_option
@text_field_option
@force_option
@plain_errors
def command(
    source: Path,
    out: Path,
    parts: str | None,
    folds: str | None,
    ids: Path | None,
    seed: int,
    by: By,
    form: str,
    strict: bool,
    text_field: str | None,
    force: bool,
) -> None:
    """Write the parts as SpERT's JSON with a types file, and say what went where."""
    set_up_logging()
    from tablert_dist.cli.program import paste
    from tablert_dist.data.annotated import read_all, rules_of, spert_bytes, types_bytes, write_folder
    from tablert_dist.data.formats import Notes
    from tablert_dist.data.partition import folds as make_folds
    from tablert_dist.data.partition import groups_of, partition
    from tablert_dist.errors import InputError, counted

    summary = stopwatch()
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    if parts and folds:
        raise InputError("give --parts or --folds, not both")
    if (folds == "ade") != (ids is not None):
        raise InputError("--folds ade and --ids FILE belong together: the file lists the orig_id of each test fold")
    if folds == "ade":
        assert ids is not None
        _ade(source, ids, out, force)
        return
    if folds is not None and not folds.isdecimal():
        raise InputError(f"--folds {folds}: give a number, or 'ade' with --ids FILE")
    shares = _shares(parts or PARTS)
    notes = Notes(strict, text_field)
    sentences, schema = read_all(source, form, notes)
    say_read(notes)
    types = types_bytes(schema, rules_of(source))
    if by == "document" and all(s.document is None for s in sentences):
        click.echo("no sentence names its document: each is its own, equal ones stay together")
    largest = max(map(len, groups_of(sentences, by)))
    if largest > 0.2 * len(sentences):
        click.echo(
            f"{largest} of {counted(len(sentences), 'sentence')} stay in one part, because their documents share a sentence"
        )
    content: dict[str, bytes] = {}
    if folds is None:
        split = {
            name: [sentences[i] for i in chosen] for name, chosen in partition(sentences, shares, seed, by).items()
        }
        content = {f"{name}.json": spert_bytes(part) for name, part in split.items()}
        content["types.json"] = types
    else:
        split = {}
        for f, (train, test) in enumerate(make_folds(sentences, int(folds), seed, by)):
            split[f"fold-{f} test"] = [sentences[i] for i in test]
            content[f"fold-{f}/train.json"] = spert_bytes([sentences[i] for i in train])
            content[f"fold-{f}/test.json"] = spert_bytes([sentences[i] for i in test])
            content[f"fold-{f}/types.json"] = types
    write_folder(out, content, force)
    for line in _table(split, schema):
        click.echo(line)
    say_next(paste("tablert", "data", "check", out / "fold-0" if folds else out))
    summary(f"{counted(len(sentences), 'sentence')} split into {counted(len(split), 'part')}")


def _shares(text: str) -> dict[str, float]:
    from tablert_dist.errors import InputError

    shares: dict[str, float] = {}
    for item in text.split(","):
        name, _, value = item.strip().partition("=")
        if not re.fullmatch(r"[A-Za-z][\w-]*", name) or not re.fullmatch(r"\d*\.?\d+", value) or not float(value):
            raise InputError(f"--parts {text}: '{item}' is no NAME=SHARE, such as train=0.8")
        if name in shares or name == "types":
            raise InputError(f"--parts {text}: the name '{name}' cannot be used{' twice' if name in shares else ''}")
        shares[name] = float(value)
    if abs(sum(shares.values()) - 1) > 1e-6 or len(shares) < 2:
        raise InputError(f"--parts {text}: give two or more shares that add up to 1, not to {sum(shares.values()):g}")
    return shares


def _ade(source: Path, ids: Path, out: Path, force: bool) -> None:
    from tablert_dist.data.ade_folds import rebuild
    from tablert_dist.data.annotated import write_folder
    from tablert_dist.errors import counted

    content = rebuild(source, ids)
    types = sorted(source.parent.glob("*types.json"))
    if len(types) == 1:
        content[types[0].name] = types[0].read_bytes()
    write_folder(out, content, force)
    splits = sum(name.startswith("ade_split_") for name in content)
    click.echo(f"{counted(splits, 'file')} in {out}, each with the sha256 of the official one where {ids.name} has it")


def _table(split: dict[str, Sequence[Sentence]] | dict[str, list[Sentence]], schema: Schema) -> list[str]:
    """Sentences and relations of each part, with its share of each type."""
    from tablert_dist.errors import counted

    total: Counter[str] = Counter(r.type for part in split.values() for s in part for r in s.relations)
    everything = sum(map(len, split.values()))
    lines = []
    for name, part in split.items():
        found = Counter(r.type for s in part for r in s.relations)
        shares = "  ".join(
            f"{k} {found[k]} ({100 * found[k] / total[k]:.0f} %)" for k in schema.relation_types if total[k]
        )
        lines.append(
            f"{name}: {counted(len(part), 'sentence')} ({100 * len(part) / everything:.0f} %)  {shares}".rstrip()
        )
    return lines
