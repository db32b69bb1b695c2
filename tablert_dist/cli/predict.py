"""`tablert predict`: text or JSON lines in, JSON lines out, of any size."""

from __future__ import annotations

import io
import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
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

if TYPE_CHECKING:
    from tablert_dist.cli.output import Lines, Output
    from tablert_dist.config import Config
    from tablert_dist.inference.predictor import Predictor

CHUNK_LINES, CHUNK_CHARACTERS = 256, 200_000
"""What is held in memory at once."""


@verb(
    "Extract entities and relations from text.",
    "echo 'Ada works at Acme .' | tablert predict --model bundle",
    "tablert predict --model models:/tablert@champion --in texts.txt --out triples.jsonl",
)
@model_option("--bundle")
@click.option("--in", "source", default="-", show_default=True, help="Text or JSON lines; - is standard input.")
@click.option("--out", default="-", show_default=True, help="JSON lines; - is standard output.")
@click.option("--strict", is_flag=True, help="Stop at the first line that cannot be read; nothing is written.")
@click.option("--resume", is_flag=True, help="Resume an interrupted --out.")
@accept_option
@force_option
@click.option(
    "--ray", "on_ray", is_flag=True, help="Predict on a Ray cluster with Ray Data, one reader for each free CPU or GPU."
)
@plain_errors
@set_option
def command(
    config: Config,
    model: str,
    source: str,
    out: str,
    strict: bool,
    resume: bool,
    on_ray: bool,
    force: bool,
    accept_changed_data: bool,
) -> None:
    """One line of output for each line of input; a line that starts with { is JSON with `text` or `words`.

    A line that cannot be read gives `{"line": …, "error": …}`, and a sentence on stderr.
    """
    set_up_logging()
    from tqdm import tqdm

    from tablert_dist.cli.output import Allowed, Lines, Output
    from tablert_dist.errors import InputError
    from tablert_dist.inference.jsonl import read_lines
    from tablert_dist.inference.named import find_model, identity
    from tablert_dist.inference.predictor import Predictor

    if on_ray and (resume or "-" in (source, out)):
        raise InputError("--ray reads a file into a file: give --in FILE and --out FILE, without --resume")
    if resume and "-" in (source, out):
        raise InputError("--resume needs files: give --in FILE and --out FILE")
    if source != "-" and not Path(source).exists():
        raise InputError(f"--in {source} does not exist")
    found = find_model(model, config)
    summary, total = stopwatch(), Total()
    state = {"model": identity(model, found), "in": source, "predict": config.predict.model_dump(mode="json")}
    allowed = Allowed(resume, force, accept_changed_data)
    with _reading(source) if resume else io.BytesIO() as file:
        output = Output(out, state, allowed, read_lines(file))
    with output as sink, _reading(source) as file, tqdm(unit=" lines", disable=None, file=sys.stderr) as bar:
        read = None if on_ray else Lines(read_lines(file))
        if read is None:
            from tablert_dist.inference.ray_data import predict_file

            results: Iterator[list[dict[str, Any]]] = predict_file(found, Path(source), config)
        else:
            results = _here(Predictor.load(found, config.predict), read, sink.lines)
        bar.update(sink.lines)
        _write(total.counting(results), sink, bar, strict, "standard input" if source == "-" else source, read)
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

    def counting(self, results: Iterator[list[dict[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
        """Pass the results on and count them."""
        for part in results:
            yield part
            self.lines += len(part)
            self.bad += sum("error" in found for found in part)
            self.entities += sum(len(found.get("entities", ())) for found in part)
            self.triples += sum(len(found.get("relations", ())) for found in part)

    def __str__(self) -> str:
        from tablert_dist.errors import counted

        parts = (counted(self.lines, "line"), counted(self.entities, "entity", "entities"))
        return ", ".join((*parts, counted(self.triples, "triple")))


def _here(predictor: Predictor, lines: Lines, done: int) -> Iterator[list[dict[str, Any]]]:
    """Results of the lines after the first `done`, as they come."""
    from tablert_dist.inference.jsonl import predict_lines

    numbered = enumerate(lines, 1)
    for _ in itertools.islice(numbered, done):
        pass
    for chunk in _chunks(numbered):
        yield list(predict_lines(predictor, chunk))


def _write(
    results: Iterator[list[dict[str, Any]]], sink: Output, bar: Any, strict: bool, name: str, read: Lines | None
) -> None:
    from tablert_dist.errors import InputError

    for part in results:
        for found in part:
            if "error" in found:
                sentence = f"{name}: line {found['line']}: {found['error']}"
                if strict:
                    raise InputError(sentence)
                bar.write(sentence, file=sys.stderr)
            sink.write(json.dumps(found, ensure_ascii=False))
        sink.flush(read)
        bar.update(len(part))


def _chunks(numbered: Iterator[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    chunk: list[tuple[int, str]] = []
    characters = 0
    for number, line in numbered:
        chunk.append((number, line))
        characters += len(line)
        if len(chunk) >= CHUNK_LINES or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _reading(source: str) -> Any:
    from tablert_dist.errors import InputError

    if source == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None
