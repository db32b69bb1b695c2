"""JSON that is written record by record, and never held: an array, or lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tablert_dist.data.formats.notes import Written
from tablert_dist.schema import Sentence


def write_lines(
    sentences: Iterable[Sentence], path: Path, written: Written, record_of: Callable[[Sentence], dict[str, Any]]
) -> None:
    """Write a line a sentence, and count it."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for sentence in sentences:
            file.write(json.dumps(record_of(sentence), ensure_ascii=False) + "\n")
            written.add(sentence)


class JsonArray:
    """One record a line between `[` and `]`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="\n")
        self._before = "[\n"

    def add(self, record: dict[str, Any]) -> None:
        """Write one record."""
        self._file.write(self._before + json.dumps(record, ensure_ascii=False))
        self._before = ",\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._file.write("\n]\n" if self._before == ",\n" else "[]\n")
        self._file.close()
