"""Lines of text or JSON as results, one a line: what `tablert predict` does in one process and on a cluster."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from tablert_dist.errors import InputError
from tablert_dist.inference.predictor import Predictor


def decoded(line: bytes) -> str:
    """A line as text. A byte that is no UTF-8 must not end the file's reading; it shows as U+FFFD."""
    return line.decode("utf-8", errors="replace")


def read_lines(file: BinaryIO) -> Iterator[str]:
    """The lines of a file or of standard input, ended by a newline alone.

    As bytes, so that a bare carriage return ends none, here as in a part of the file that a reader on a cluster gets.
    """
    return map(decoded, file)


def predict_lines(predictor: Predictor, chunk: Sequence[tuple[int, str]]) -> Iterator[dict[str, Any]]:
    """A result for each line, in their order; `{"line", "error"}` where there is none."""
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


def _together(predictor: Predictor, items: dict[int, str | list[str]]) -> dict[int, dict[str, Any]]:
    texts = {number: item for number, item in items.items() if isinstance(item, str)}
    words = {number: item for number, item in items.items() if not isinstance(item, str)}
    results = zip(texts, predictor.predict(texts.values()), strict=True)
    annotated = zip(words, predictor.predict_words(list(words.values())), strict=True)
    return {number: extraction.to_json() for number, extraction in itertools.chain(results, annotated)}


def parse_line(line: str) -> str | list[str]:
    """A text, or a sentence given as words. Raises InputError."""
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
