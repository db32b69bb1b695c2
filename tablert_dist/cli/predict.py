"""`tablert predict`: text or JSON lines in, JSON lines out."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from tablert_dist.cli.common import plain_errors, set_option, set_up_logging

if TYPE_CHECKING:
    from tablert_dist.config import Config

CHUNK = 256


@click.command(help="Extract entities and relations from text.")
@click.option("--model", required=True, type=click.Path(path_type=Path), help="A bundle or a checkpoint.")
@click.option("--in", "source", default="-", show_default=True, help="Text or JSON lines; - is standard input.")
@click.option("--out", default="-", show_default=True, help="JSON lines; - is standard output.")
@plain_errors
@set_option
def command(config: Config, model: Path, source: str, out: str) -> None:
    """One line of output for each line of input; a line that starts with { is JSON with `text` or `words`."""
    set_up_logging()
    from tablert_dist.predictor import Predictor

    predictor = Predictor.load(model, config.predict)
    with _reading(source) as lines, _writing(out) as sink:
        numbered = enumerate(lines, 1)
        while chunk := list(itertools.islice(numbered, CHUNK)):
            for found in _predict(predictor, chunk, source):
                sink.write(json.dumps(found, ensure_ascii=False) + "\n")


def _predict(predictor: Any, chunk: list[tuple[int, str]], source: str) -> Iterator[dict[str, Any]]:
    from tablert_dist.errors import InputError
    from tablert_dist.predictor import Extraction

    texts: dict[int, str] = {}
    words: dict[int, list[str]] = {}
    for number, line in chunk:
        item = _parse(line.rstrip("\r\n"), f"{'standard input' if source == '-' else source}: line {number}")
        if isinstance(item, str):
            texts[number] = item
        else:
            words[number] = item
    try:
        by_number: dict[int, Extraction] = dict(zip(texts, predictor.predict(texts.values()), strict=True))
        annotated = zip(words, predictor.annotate(list(words.values())), strict=True)
    except InputError:
        # Find the line that is at fault.
        for number, item in (texts | words).items():
            try:
                predictor.predict([item]) if isinstance(item, str) else predictor.annotate([item])
            except InputError as error:
                raise InputError(f"{'standard input' if source == '-' else source}: line {number}: {error}") from None
        raise
    for number, sentence in annotated:
        ends = list(itertools.accumulate(len(w) + 1 for w in sentence.words))
        spans = tuple((end - 1 - len(w), end - 1) for end, w in zip(ends, sentence.words, strict=True))
        by_number[number] = Extraction(" ".join(sentence.words), sentence, spans)
    for number, _ in chunk:
        yield by_number[number].to_json()


def _parse(line: str, where: str) -> str | list[str]:
    from tablert_dist.errors import InputError

    if not line.startswith("{"):
        return line
    try:
        item = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON: {error.msg} at column {error.colno}") from None
    if isinstance(item.get("text"), str):
        return str(item["text"])
    words = item.get("words")
    if isinstance(words, list) and all(isinstance(w, str) and w.strip() for w in words):
        return words
    raise InputError(f"{where}: expected an object with 'text' (a string) or 'words' (a list of strings)")


def _reading(source: str) -> Any:
    from tablert_dist.errors import InputError

    if source == "-":
        return nullcontext(sys.stdin)
    try:
        return Path(source).open(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None


class _writing:  # noqa: N801 - a context manager that reads as a verb
    """The output stream; a file appears under its name only when it is whole."""

    def __init__(self, out: str) -> None:
        self._path = None if out == "-" else Path(out)
        self._part = self._path.with_name(f".{self._path.name}.part") if self._path else None
        self._file: IO[str] = self._part.open("w", encoding="utf-8") if self._part else sys.stdout

    def __enter__(self) -> IO[str]:
        return self._file

    def __exit__(self, kind: object, *rest: object) -> None:
        if self._path and self._part:
            self._file.close()
            self._part.replace(self._path) if kind is None else self._part.unlink()
