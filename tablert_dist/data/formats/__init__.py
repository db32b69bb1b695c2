"""One file a format; `iterate` and `read` find out which one a file is in, `write` writes any of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from tablert_dist.data.formats.detect import detect
from tablert_dist.data.formats.notes import Notes, Written
from tablert_dist.data.formats.records import check_characters, checked_type
from tablert_dist.data.formats.registry import ENDINGS, NAMES, Format, format_of
from tablert_dist.errors import InputError, counted
from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tablert_dist.storage.atomic import writing

__all__ = ["ENDINGS", "NAMES", "Notes", "Written", "detect", "iterate", "read", "write"]


ENOUGH = 20
"""Records left out from which on they must not be more than the sentences that are read: the file is misread."""


def iterate(path: Path, name: str = "auto", notes: Notes | None = None) -> Iterator[Sentence]:
    """The sentences of a file or folder one by one, in the named format or in the one that it is found to be in.

    A record that cannot be read is left out and counted in `notes`, as is what else is left out or changed; without
    `notes`, or with strict ones, it is refused. Raises InputError naming file, record, field and reason, when the record
    is reached; at the end where nothing was read, or less than was left out.
    """
    own = Notes(strict=True) if notes is None else notes.apart()
    form = format_of(detect(path, own) if name == "auto" else name)
    found = 0
    try:
        for sentence in form.iterate(path, own):
            found += 1
            yield sentence
    finally:
        if notes is not None:
            notes.add(own)
    if found and (own.left_out < ENOUGH or own.left_out <= found):
        return
    if not own.left_out:
        raise InputError(f"{path}: holds no sentence that can be used")
    more = f"; {own.left_out - 1} more cannot be read either" if own.left_out > 1 else ""
    rest = f", and only {counted(found, 'sentence')} can" if found else ""
    raise InputError(f"{own.reasons[0]}{more}{rest}")


def read(path: Path, name: str = "auto", notes: Notes | None = None) -> list[Sentence]:
    """All the sentences of a file or folder; see `iterate`."""
    return list(iterate(path, name, notes))


def write(sentences: Iterable[Sentence], path: Path, name: str, schema: Schema | None = None) -> Written:
    """Write a file or folder in the named format, whole or not at all; a file that is there is replaced.

    Returns what was written, and in its `lost` what the format cannot hold. `schema`, where given, is for the formats
    that list the types (BRAT). Raises InputError where there is nothing to write, or no place for it.
    """
    form = format_of(name)
    if path.is_dir():
        raise InputError(f"{path} is a folder that exists: give another name, or remove it first")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: cannot be written: there is no folder '{path.parent}'")
    # The ending stays the last: some writers look at it.
    part = path.with_name(f".part-{path.name}")
    written = Written(path)
    _remove(part)
    try:
        with writing(path):
            form.write(_counted(sentences, form, written), part, written, schema)
            if not written.sentences:
                why = "; ".join(written.lines()[1:])
                raise InputError(f"{path}: there is no sentence to write{': ' if why else ''}{why}")
            part.replace(path)
    finally:
        _remove(part)
    return written


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _counted(sentences: Iterable[Sentence], form: Format, written: Written) -> Iterator[Sentence]:
    """Sentences that can be read again, less what the format does not hold, which is counted."""
    types: set[str] = set()
    for n, sentence in enumerate(sentences):
        try:
            _check(sentence, types)
        except InputError as error:
            raise InputError(f"{written.path}: sentence {n} cannot be written: {error}") from None
        if not form.text and sentence.text is not None:
            written.lose("texts", "only words are held, not what is between them")
        if not form.probability:
            sure = sum(item.probability is not None for item in _items(sentence))
            written.lose("probabilities", "not held", sure)
        yield sentence


def _items(sentence: Sentence) -> list[Entity | Relation]:
    return [*sentence.entities, *sentence.relations]


def _check(sentence: Sentence, types: set[str]) -> None:
    if not sentence.words:
        raise InputError("it has no words")
    for word in sentence.words:
        if not word.strip():
            raise InputError(f"a word is empty or white space: {word!r}")
    check_characters("".join(sentence.words), "a word")
    check_characters(sentence.text or "", "the text")
    for name in (sentence.id, sentence.document):
        check_characters(name or "", "the id or document")
    for item in _items(sentence):
        if item.type not in types:
            types.add(checked_type(item.type, "a type"))
