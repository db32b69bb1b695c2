"""`tablert predict`: text or JSON lines in, JSON lines out, of any size."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tablert_dist.cli.common import plain_errors, set_option, set_up_logging

if TYPE_CHECKING:
    from tablert_dist.cli.output import Output
    from tablert_dist.config import Config
    from tablert_dist.inference.predictor import Predictor

CHUNK_LINES, CHUNK_CHARACTERS = 256, 200_000
"""What is held in memory at once."""


@click.command(help="Extract entities and relations from text.")
@click.option("--model", "--bundle", required=True, type=click.Path(path_type=Path), help="A bundle or a checkpoint.")
@click.option("--in", "source", default="-", show_default=True, help="Text or JSON lines; - is standard input.")
@click.option("--out", default="-", show_default=True, help="JSON lines; - is standard output.")
@click.option("--strict", is_flag=True, help="Stop at the first line that cannot be read; nothing is written.")
@click.option("--resume", is_flag=True, help="Resume an interrupted --out.")
@click.option(
    "--ray", "on_ray", is_flag=True, help="Predict on a Ray cluster with Ray Data, one reader for each free CPU or GPU."
)
@plain_errors
@set_option
def command(config: Config, model: Path, source: str, out: str, strict: bool, resume: bool, on_ray: bool) -> None:
    """One line of output for each line of input; a line that starts with { is JSON with `text` or `words`.

    A line that cannot be read gives `{"line": …, "error": …}`, and a sentence on stderr.
    """
    set_up_logging()
    from tqdm import tqdm

    from tablert_dist.cli.output import Output
    from tablert_dist.errors import InputError
    from tablert_dist.inference.predictor import Predictor

    if on_ray and (resume or "-" in (source, out)):
        raise InputError("--ray reads a file into a file: give --in FILE and --out FILE, without --resume")
    if resume and "-" in (source, out):
        raise InputError("--resume needs files: give --in FILE and --out FILE")
    state = {"model": str(model.resolve()), "in": source, "predict": config.predict.model_dump(mode="json")}
    with Output(out, state, resume) as sink, tqdm(unit=" lines", disable=None, file=sys.stderr) as bar:
        if on_ray:
            from tablert_dist.inference.ray_data import predict_file

            results: Iterator[list[dict[str, Any]]] = predict_file(model, Path(source), config)
        else:
            results = _here(Predictor.load(model, config.predict), source, sink.lines)
        bar.update(sink.lines)
        bad = _write(results, sink, bar, strict, "standard input" if source == "-" else source)
    if bad:
        click.echo(f"{bad} of the lines could not be read; each has an 'error' in the output", err=True)


def _here(predictor: Predictor, source: str, done: int) -> Iterator[list[dict[str, Any]]]:
    """Results of the lines after the first `done`, as they come."""
    from tablert_dist.inference.jsonl import predict_lines

    with _reading(source) as lines:
        numbered = enumerate(lines, 1)
        for _ in itertools.islice(numbered, done):
            pass
        for chunk in _chunks(numbered):
            yield list(predict_lines(predictor, chunk))


def _write(results: Iterator[list[dict[str, Any]]], sink: Output, bar: Any, strict: bool, name: str) -> int:
    """How many lines could not be read."""
    from tablert_dist.errors import InputError

    bad = 0
    for part in results:
        for found in part:
            if "error" in found:
                sentence = f"{name}: line {found['line']}: {found['error']}"
                if strict:
                    raise InputError(sentence)
                bad += 1
                bar.write(sentence, file=sys.stderr)
            sink.write(json.dumps(found, ensure_ascii=False))
        sink.flush()
        bar.update(len(part))
    return bad


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
        return nullcontext(sys.stdin)
    try:
        # A byte that is no UTF-8 must not end the file's reading; it shows as U+FFFD.
        return Path(source).open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None
