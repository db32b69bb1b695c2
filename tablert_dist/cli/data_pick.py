"""`tablert data pick RESULTS`: which texts to annotate next, with what a model found in them as a start."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tablert_dist.cli.common import (
    force_option,
    plain_errors,
    refuse_existing,
    refuse_nowhere,
    say_next,
    set_up_logging,
    stopwatch,
    verb,
)
from tablert_dist.cli.reading import name_of, result_lines, say_left_out, say_read

if TYPE_CHECKING:
    from tablert_dist.analysis.picking import Picked


@verb(
    "Pick the texts to annotate next from results of tablert predict.",
    "tablert data pick triples.jsonl --n 200 --out picked.jsonl",
    "tablert data pick triples.jsonl --by diversity --annotated data/train.json --n 200 --out picked.jsonl",
)
@click.argument("source", metavar="RESULTS")
@click.option("--n", "count", default=200, show_default=True, type=click.IntRange(min=1), help="Texts to pick.")
@click.option("--by", default="uncertainty", show_default=True, help="uncertainty, diversity or random.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File of JSON lines to write.")
@click.option(
    "--annotated",
    default=None,
    metavar="DATA",
    type=click.Path(path_type=Path),
    help="Sentences that are annotated already, in any format: none of them is picked again.",
)
@click.option(
    "--explore",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of uncertainty's picks that is random, for what the model never finds.",
)
@click.option("--seed", default=1, show_default=True, help="Same seed, same picks.")
@click.option("--strict", is_flag=True, help="Stop at the first line that is no result; nothing is written.")
@force_option
@plain_errors
def command(
    source: str,
    count: int,
    by: str,
    out: Path,
    annotated: Path | None,
    explore: float,
    seed: int,
    strict: bool,
    force: bool,
) -> None:
    """RESULTS: JSON lines of `tablert predict`; - is standard input. The picks are lines of the same form with `pick`."""
    set_up_logging()
    from tablert_dist.analysis.picking import candidate_of, pick, way_of
    from tablert_dist.errors import InputError, counted
    from tablert_dist.inference.graph.mentions import Count, read_documents
    from tablert_dist.storage.atomic import write_text

    # Before anything is read.
    way_of(by)
    refuse_existing(out, force=force)
    refuse_nowhere(out)
    summary, read, named = stopwatch(), Count(), name_of(source)
    known = _texts(annotated) if annotated else []
    kept: list[str] = []
    with result_lines(source) as lines:
        candidates = [
            candidate_of(document, len(kept) - 1)
            for document in read_documents(_remembered(lines, kept), named, read, strict)
        ]
    say_left_out(read)
    if not candidates:
        raise InputError(f"{named} has no results to pick from: expected JSON lines of `tablert predict`")
    found = pick(candidates, count, by, known, explore, seed)
    if not found.picks:
        raise InputError(f"{named}: every text is empty or annotated already")
    told = [{"by": p.by, "doubt": p.candidate.doubt, "line": p.candidate.line + 1} for p in found.picks]
    picked = [
        json.dumps({**json.loads(kept[p.candidate.line]), "pick": why}, ensure_ascii=False)
        for p, why in zip(found.picks, told, strict=True)
    ]
    write_text(out, "".join(line + "\n" for line in picked))
    _say(found)
    say_next(f"tablert data convert {out} tasks.json --to labelstudio-predictions")
    summary(f"{out}: {counted(len(found.picks), 'text')} of {len(candidates)}")


def _say(found: Picked) -> None:
    from tablert_dist.errors import counted

    ways = Counter(p.by for p in found.picks)
    click.echo(", ".join(f"{n} by {way}" for way, n in ways.items()))
    if nothing := sum(p.candidate.doubt is None for p in found.picks):
        click.echo(f"nothing was found in {counted(nothing, 'text')} of them")
    if found.alike:
        click.echo(f"{counted(found.alike, 'text')} passed over: like one that was picked")


def _texts(annotated: Path) -> list[str]:
    """The texts of a file or a folder; a file's need no types."""
    from tablert_dist.data import formats
    from tablert_dist.data.annotated import read_all

    notes = formats.Notes()
    sentences = (
        list(formats.iterate(annotated, "auto", notes)) if annotated.is_file() else read_all(annotated, notes=notes)[0]
    )
    say_read(notes)
    return [s.text if s.text is not None else " ".join(s.words) for s in sentences]


def _remembered(lines: Iterable[str], kept: list[str]) -> Iterator[str]:
    for line in lines:
        kept.append(line)
        yield line
