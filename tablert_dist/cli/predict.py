"""`tablert predict`: text or JSON lines in, JSON lines out, of any size."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tablert_dist.cli.common import (
    accept_option,
    force_option,
    model_option,
    plain_errors,
    set_option,
    set_up_logging,
    stopwatch,
    verb,
)
from tablert_dist.cli.graph import FORMS, GraphOutput, Wanted, graph_options
from tablert_dist.cli.reading import name_of

if TYPE_CHECKING:
    from tablert_dist.cli.output import Output
    from tablert_dist.cli.predicting import Part
    from tablert_dist.config import Config


@verb(
    "Extract entities and relations from text.",
    "echo 'Ada works at Acme .' | tablert predict --model bundle",
    "tablert predict --model models:/tablert@champion --in texts.txt --out triples.jsonl",
)
@model_option("--bundle")
@click.option("--in", "source", default="-", show_default=True, help="Text or JSON lines; - is standard input.")
@click.option("--out", default="-", show_default=True, help="JSON lines; - is standard output.")
@click.option("--to", "form", default=None, help=f"Write --out as a graph instead: {FORMS} (see tablert graph).")
@graph_options
@click.option("--strict", is_flag=True, help="Stop at the first line that cannot be read; nothing is written.")
@click.option("--resume", is_flag=True, help="Resume an interrupted --out.")
@accept_option
@force_option
@click.option(
    "--ray", "on_ray", is_flag=True, help="Predict on a Ray cluster with Ray Data, one reader for each free CPU or GPU."
)
@click.option(
    "--processes",
    default=1,
    type=click.IntRange(1),
    show_default=True,
    help="Read in this many processes, each with a model of its own; on a CPU each has one thread.",
)
@plain_errors
@set_option
def command(
    config: Config,
    model: str,
    source: str,
    out: str,
    form: str | None,
    wanted: Wanted,
    strict: bool,
    resume: bool,
    on_ray: bool,
    force: bool,
    accept_changed_data: bool,
    processes: int,
) -> None:
    """One line of output for each line of input; a line that starts with { is JSON with `text` or `words`.

    A line that cannot be read gives `{"line": …, "error": …}`, and a sentence on stderr.
    """
    set_up_logging()
    from tqdm import tqdm

    from tablert_dist.cli.output import Allowed, Output
    from tablert_dist.cli.predicting import by_processes, by_threads, on_cluster
    from tablert_dist.errors import InputError
    from tablert_dist.inference.arriving import read_lines
    from tablert_dist.inference.loading import symmetric_of
    from tablert_dist.inference.named import find_model, identity

    if on_ray and processes > 1:
        raise InputError("--processes reads on this machine, --ray on a cluster: give one of them")
    if on_ray and (resume or "-" in (source, out)):
        raise InputError("--ray reads a file into a file: give --in FILE and --out FILE, without --resume")
    if resume and "-" in (source, out):
        raise InputError("--resume needs files: give --in FILE and --out FILE")
    if source != "-" and not Path(source).exists():
        raise InputError(f"--in {source} does not exist")
    if form is None and wanted.any:
        raise InputError("--link and --base are for --to, which writes a graph")
    if form is not None and (resume or out == "-"):
        raise InputError("--to writes a graph when all is read: give --out FILE, without --resume")
    found = find_model(model, config)
    summary, total = stopwatch(), Total()
    output: Output | GraphOutput
    if form is not None:
        shown = found.resolve().name if Path(model).exists() else model
        output = GraphOutput(Path(out), form, wanted.options(shown, symmetric_of(found, config.predict), strict), force)
    else:
        state = {"model": identity(model, found), "in": source, "predict": config.predict.model_dump(mode="json")}
        allowed = Allowed(resume, force, accept_changed_data)
        with _reading(source) if resume else io.BytesIO() as file:
            output = Output(out, state, allowed, read_lines(file))
    with output as sink, _reading(source) as file, tqdm(unit=" lines", disable=None, file=sys.stderr) as bar:
        if on_ray:
            results = on_cluster(found, Path(source), config)
        elif processes > 1:
            results = by_processes(found, config.predict, processes, file, sink.lines)
        else:
            results = by_threads(found, config.predict, file, sink.lines)
        bar.update(sink.lines)
        # Closed at once where it is not read to its end: its processes end with it.
        with closing(results):
            _write(total.counting(results), sink, bar, strict, name_of(source))
    if total.bad:
        click.echo(f"{total.bad} of the lines could not be read; each has an 'error' in the output", err=True)
    summary(str(total))


@dataclass
class Total:
    """What was read and found, for the summary."""

    lines: int = 0
    entities: int = 0
    triples: int = 0
    bad: int = 0

    def counting(self, parts: Iterator[Part]) -> Iterator[Part]:
        """Pass the parts on and count what is in them."""
        for part in parts:
            yield part
            answers = part[1]
            self.lines += len(answers)
            self.bad += sum(answer.error is not None for answer in answers)
            self.entities += sum(answer.entities for answer in answers)
            self.triples += sum(answer.relations for answer in answers)

    def __str__(self) -> str:
        from tablert_dist.errors import counted

        parts = (counted(self.lines, "line"), counted(self.entities, "entity", "entities"))
        return ", ".join((*parts, counted(self.triples, "triple")))


def _write(parts: Iterator[Part], sink: Output | GraphOutput, bar: Any, strict: bool, name: str) -> None:
    from tablert_dist.errors import InputError

    for place, answers in parts:
        for answer in answers:
            if answer.error is not None:
                sentence = f"{name}: line {answer.number}: {answer.error}"
                if strict:
                    raise InputError(sentence)
                bar.write(sentence, file=sys.stderr)
            sink.write(answer.line)
        sink.flush(place)
        bar.update(len(answers))


def _reading(source: str) -> Any:
    from tablert_dist.errors import InputError

    if source == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None
