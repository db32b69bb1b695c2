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
    from tablert_dist.config import Config

CHUNK_LINES, CHUNK_CHARACTERS = 256, 200_000
"""What is held in memory at once."""


@click.command(help="Extract entities and relations from text.")
@click.option("--model", "--bundle", required=True, type=click.Path(path_type=Path), help="A bundle or a checkpoint.")
@click.option("--in", "source", default="-", show_default=True, help="Text or JSON lines; - is standard input.")
@click.option("--out", default="-", show_default=True, help="JSON lines; - is standard output.")
@click.option("--strict", is_flag=True, help="Stop at the first line that cannot be read; nothing is written.")
@click.option("--resume", is_flag=True, help="Go on with an --out that was interrupted.")
@plain_errors
@set_option
def command(config: Config, model: Path, source: str, out: str, strict: bool, resume: bool) -> None:
    """One line of output for each line of input; a line that starts with { is JSON with `text` or `words`.

    A line that cannot be read gives `{"line": …, "error": …}`, and a sentence on stderr.
    """
    set_up_logging()
    from tqdm import tqdm

    from tablert_dist.cli.output import Output
    from tablert_dist.errors import InputError
    from tablert_dist.predictor import Predictor

    if resume and "-" in (source, out):
        raise InputError("--resume goes on with a file: give --in FILE and --out FILE")
    predictor = Predictor.load(model, config.predict)
    name = "standard input" if source == "-" else source
    state = {"model": str(model.resolve()), "in": source, "predict": config.predict.model_dump(mode="json")}
    bad = 0
    with _reading(source) as lines, Output(out, state, resume) as sink:
        numbered = enumerate(lines, 1)
        done = sum(1 for _ in itertools.islice(numbered, sink.lines))
        with tqdm(initial=done, unit=" lines", disable=None, file=sys.stderr) as bar:
            for chunk in _chunks(numbered):
                for number, found in zip((n for n, _ in chunk), _predict(predictor, chunk), strict=True):
                    if "error" in found:
                        if strict:
                            raise InputError(f"{name}: line {number}: {found['error']}")
                        bad += 1
                        bar.write(f"{name}: line {number}: {found['error']}", file=sys.stderr)
                    sink.write(json.dumps(found, ensure_ascii=False))
                sink.flush()
                bar.update(len(chunk))
    if bad:
        click.echo(f"{bad} of the lines could not be read; each has an 'error' in the output", err=True)


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


def _predict(predictor: Any, chunk: list[tuple[int, str]]) -> Iterator[dict[str, Any]]:
    """A result for each line, in their order; `{"line", "error"}` where there is none."""
    from tablert_dist.errors import InputError

    items: dict[int, str | list[str]] = {}
    found: dict[int, dict[str, Any]] = {}
    for number, line in chunk:
        try:
            items[number] = parse_line(line)
        except InputError as error:
            found[number] = {"line": number, "error": str(error)}
    try:
        found |= _together(predictor, items)
    except InputError:
        # One of them is at fault: find out which.
        for number, item in items.items():
            try:
                found |= _together(predictor, {number: item})
            except InputError as error:
                found[number] = {"line": number, "error": str(error)}
    for number, _ in chunk:
        yield found[number]


def _together(predictor: Any, items: dict[int, str | list[str]]) -> dict[int, dict[str, Any]]:
    texts = {number: item for number, item in items.items() if isinstance(item, str)}
    words = {number: item for number, item in items.items() if not isinstance(item, str)}
    results = zip(texts, predictor.predict(texts.values()), strict=True)
    annotated = zip(words, predictor.predict_words(list(words.values())), strict=True)
    return {number: extraction.to_json() for number, extraction in itertools.chain(results, annotated)}


def parse_line(line: str) -> str | list[str]:
    """A text, or a sentence given as words. Raises InputError."""
    from tablert_dist.errors import InputError

    line = line.rstrip("\r\n")
    if not line.startswith("{"):
        return line
    try:
        item = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg} at column {error.colno}") from None
    if isinstance(item.get("text"), str):
        return str(item["text"])
    words = item.get("words")
    if isinstance(words, list) and all(isinstance(w, str) and w.strip() for w in words):
        return words
    raise InputError("expected an object with 'text' (a string) or 'words' (a list of strings)")


def _reading(source: str) -> Any:
    from tablert_dist.errors import InputError

    if source == "-":
        return nullcontext(sys.stdin)
    try:
        # A byte that is no UTF-8 must not end the file's reading; it shows as U+FFFD.
        return Path(source).open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None
