"""Lines of a file in parts: of a regular file large ones, of a pipe what has come, so that a line is answered at once."""

from __future__ import annotations

import io
import os
import select
import stat
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO

PART_LINES, PART_CHARACTERS = 256, 200_000
"""Of one part."""
LINGER_S = 0.02
"""Seconds that a pipe's line waits for others to be read with it."""
_BLOCK = 1 << 16


def decoded(line: bytes) -> str:
    """A line as text. A byte that is no UTF-8 must not end the file's reading: it becomes half of a surrogate pair, by which
    `parse_line` knows it."""
    return line.decode("utf-8", errors="surrogateescape")


def read_lines(file: BinaryIO) -> Iterator[str]:
    """The lines of a file, ended by a newline alone.

    As bytes, so that a bare carriage return ends none, here as in a part of the file that a reader on a cluster gets.
    """
    return map(decoded, file)


def parts(file: BinaryIO) -> Iterator[list[str]]:
    """The lines of a file or of standard input as `read_lines` gives them, in parts."""
    return _grouped(_arriving(file.fileno()) if _is_awaited(file) else file)


def _is_awaited(file: BinaryIO) -> bool:
    """Whether lines may come while others are answered: a pipe, a socket, a terminal."""
    try:
        return not stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (io.UnsupportedOperation, OSError):
        return False


def _grouped(lines: Iterable[bytes | None]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for line in lines:
        if line is not None:
            part.append(decoded(line))
            size += len(part[-1])
        if part and (line is None or len(part) >= PART_LINES or size >= PART_CHARACTERS):
            yield part
            part, size = [], 0
    if part:
        yield part


def _arriving(descriptor: int) -> Iterator[bytes | None]:
    """Lines as they come; None where the first since the last None has waited long enough, and none is there.

    Not through the file object: its lock would be held while we wait, and the interpreter could not end.
    """
    rest: list[bytes] = []
    until: float | None = None
    while True:
        wait = None if until is None else max(0.0, until - time.monotonic())
        if not select.select([descriptor], [], [], wait)[0]:
            until = None
            yield None
            continue
        block = os.read(descriptor, _BLOCK)
        if not block:
            break
        *whole, last = block.split(b"\n")
        for line in whole:
            yield b"".join([*rest, line, b"\n"])
            rest = []
        if whole and until is None:
            until = time.monotonic() + LINGER_S
        if last:
            rest.append(last)
    if rest:
        yield b"".join(rest)
