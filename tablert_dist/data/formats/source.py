"""A file as a stream: of characters, of lines, of JSON objects; one chunk is in memory, never the file."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tablert_dist.data.formats.notes import Notes
from tablert_dist.errors import InputError

Record = dict[str, Any]
CHUNK = 1 << 20
"""Bytes read at once."""
_SPACE = re.compile(r"[ \t\n\r]*")
_LONGEST_LITERAL = 16
"""An error this near the end of what was read may be due to the end alone: `-Infinit`, `\\ud83d\\ude0`."""


def chunks(path: Path) -> Iterator[str]:
    """The file's characters, without a byte order mark. Raises InputError where it cannot be read or is no UTF-8."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    decoder = codecs.getincrementaldecoder("utf-8")()
    read, begun = 0, False
    with file:
        while True:
            data = file.read(CHUNK)
            read += len(data)
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                raise InputError(f"{path}: not UTF-8 at byte {read - len(error.object) + error.start}") from None
            if text:
                yield text if begun else text.removeprefix("\ufeff")
                begun = True
            if not data:
                return


def has_mark(path: Path) -> bool:
    """Whether the file begins with a byte order mark."""
    with path.open("rb") as file:
        return file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8


def read_text(path: Path) -> str:
    """The whole file. Raises InputError as `chunks`, and for a NUL byte, which no text has."""
    text = "".join(chunks(path))
    if "\0" in text:
        raise InputError(f"{path}: a NUL at character {text.index(chr(0))}: not a text file")
    return text


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines counted from 1, without their `\\n` or `\\r\\n`; no other character ends a line."""
    rest: list[str] = []
    number = 0
    for part in chunks(path):
        first, *others = part.split("\n")
        rest.append(first)
        for other in others:
            number += 1
            yield number, "".join(rest).removesuffix("\r")
            rest = [other]
    if last := "".join(rest):
        yield number + 1, last.removesuffix("\r")


def objects(path: Path, notes: Notes | None = None) -> Iterator[tuple[int, Record]]:
    """The objects of a JSON array, or those that follow one another (JSON lines), counted from 0.

    Raises InputError naming the file, and the record where one is at fault, as soon as it is reached. With `notes`, a
    record that can be told from the next one is left out instead: any that ends, and a line of JSON lines.
    """
    window = _Window(path)
    first = window.peek()
    if not first:
        raise InputError(f"{path}: the file is empty")
    if first not in "[{":
        try:
            found = kind(window.value())
        except _Record as fault:
            raise InputError(f"{fault.where}: {fault}") from None
        raise InputError(f"{path}: expected a JSON array of sentences or JSON lines, found {found}")
    yield from _lines(window, notes) if first == "{" else _array(window, notes)


def _lines(window: _Window, notes: Notes | None) -> Iterator[tuple[int, Record]]:
    while window.peek():
        try:
            yield window.record()
        except _Record as fault:
            _leave_out(fault, notes)
        except InputError as error:
            if notes is None or notes.strict:
                raise
            where = f"{window.path}: record {window.index}"
            notes.leave_out(where, str(error).removeprefix(f"{where}: ").removeprefix(f"{window.path}: "))
            window.next_line()


def _array(window: _Window, notes: Notes | None) -> Iterator[tuple[int, Record]]:
    window.at += 1
    if window.peek() == "]":
        raise InputError(f"{window.path}: the array holds no sentence")
    after = ","
    while after != "]":
        window.peek()
        try:
            yield window.record()
        except _Record as fault:
            _leave_out(fault, notes)
        after = window.peek()
        if after not in (",", "]"):
            raise window.error("Expecting ',' delimiter", window.at)
        window.at += 1
    if window.peek():
        raise window.error("Extra data", window.at)


def _leave_out(fault: _Record, notes: Notes | None) -> None:
    if notes is None:
        raise InputError(f"{fault.where}: {fault}") from None
    notes.leave_out(fault.where, str(fault))


class _Record(Exception):  # noqa: N818 - never leaves this file
    """A record that is no good, behind which the next one can be read."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(why)
        self.where = where


_TOLERANT = json.JSONDecoder(parse_int=str).raw_decode
"""Of whatever is JSON: an object may have a key twice, a number any length."""


class _Twice(Exception):  # noqa: N818 - never leaves this file
    """A key that an object has twice."""


def _object(pairs: list[tuple[str, Any]]) -> Record:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice(next(key for n, (key, _) in enumerate(pairs) if key in dict(pairs[:n])))
    return found


class _Window:
    """The part of a JSON file that is in memory: `text` from the position `at` on is not read yet."""

    def __init__(self, path: Path) -> None:
        self.path, self.index = path, -1
        self.text, self.at, self.ended = "", 0, False
        self._chunks = chunks(path)
        self._lines, self._column = 0, 0  # of what has left the window
        self._decode = json.JSONDecoder(object_pairs_hook=_object).raw_decode

    def peek(self) -> str:
        """The next character that is no white space, or nothing at the end."""
        while True:
            found = _SPACE.match(self.text, self.at)
            assert found is not None
            self.at = found.end()
            if self.at < len(self.text):
                return self.text[self.at]
            if self.ended:
                return ""
            self._more()

    def record(self) -> tuple[int, Record]:
        """The next value, an object, with its index. Raises _Record for another one, which is read over."""
        self.index += 1
        value = self.value()
        if not isinstance(value, dict):
            raise _Record(f"{self.path}: record {self.index}", f"expected an object, found {kind(value)}")
        return self.index, value

    def value(self) -> Any:
        """The next value. Raises _Record for one that can only be read over."""
        where = f"{self.path}: record {max(self.index, 0)}"
        while True:
            try:
                value, self.at = self._decode(self.text, self.at)
                return value
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos > len(self.text) - _LONGEST_LITERAL
                if self.ended or not cut:
                    raise self.error(error.msg, error.pos) from None
                self._more()
            except _Twice as error:
                why = f"an object has the key '{error}' twice"
                self._over(where, why)
            except RecursionError:
                raise InputError(f"{where}: nested too deep") from None
            except ValueError:  # an integer of thousands of digits
                self._over(where, "not JSON that can be read: a number of thousands of digits")

    def _over(self, where: str, why: str) -> None:
        """Go behind a value that has nothing wrong but what is said; where it is not all there yet, read more."""
        try:
            _, self.at = _TOLERANT(self.text, self.at)
        except (ValueError, RecursionError):
            if self.ended:
                raise InputError(f"{where}: {why}") from None
            self._more()
            return
        raise _Record(where, why)

    def next_line(self) -> None:
        """Go to the next line that begins with an object, past what could not be read, or to the end."""
        self.at += 1
        while (end := self.text.find("\n{", self.at)) < 0 and not self.ended:
            self.at = len(self.text) - 1  # the line break may be the last character that is there
            self._more()
        self.at = len(self.text) if end < 0 else end + 1

    def error(self, message: str, at: int) -> InputError:
        """What is wrong with the JSON, with line and column."""
        line = self._lines + self.text.count("\n", 0, at) + 1
        start = self.text.rfind("\n", 0, at)
        column = at - start if start >= 0 else self._column + at + 1
        return InputError(f"{self.path}: not JSON: {message} at line {line}, column {column}")

    def _more(self) -> None:
        """Forget what was read, and double what was not: a record of any length costs a time linear in it."""
        gone, rest = self.text[: self.at], self.text[self.at :]
        self._lines += gone.count("\n")
        self._column = len(gone) - gone.rfind("\n") - 1 + (self._column if "\n" not in gone else 0)
        parts, wanted = [rest], max(len(rest), 1)
        while wanted > 0:
            part = next(self._chunks, None)
            if part is None:
                self.ended = True
                break
            parts.append(part)
            wanted -= len(part)
        self.text, self.at = "".join(parts), 0


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "nothing"}
    number = f"the number {str(value)[:40]}" if isinstance(value, int | float) else type(value).__name__
    return names.get(type(value), number)
