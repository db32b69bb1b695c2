"""CoNLL columns: a word a line with its tag last, or the multi-head layout with relations; a blank line between."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tablert_dist.data.formats import tags
from tablert_dist.data.formats.notes import Notes, Written
from tablert_dist.data.formats.records import UNKNOWN, check_characters, checked_integer, checked_type, parsed
from tablert_dist.data.formats.source import lines
from tablert_dist.data.formats.words import on_words, read_words
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Schema, Sentence

BETWEEN = " \t"
"""What separates columns, and nothing else: a no-break space belongs to its word."""
_MULTI_HEAD = re.compile(
    r"[ \t]*([0-9]{1,9})[ \t]+([^ \t].*?)[ \t]+([^ \t]+|[A-Z]-[^ \t].*?)[ \t]+(\[[^\[\]]*\])[ \t]+(\[[0-9 \t,]*\])[ \t]*"
)
_COMMENT = re.compile(r"#\s?([\w.]+) ?= ?(.*)")
_DOCUMENT = re.compile(r"#doc +(.*)")
NONE = "N"
"""The relation type of a word that is no entity's last word in a relation."""


@dataclass(frozen=True)
class TokenRow:
    """A word with its tag; in the multi-head layout also `links`: relation types and where each tail ends."""

    line: int
    word: str
    tag: str
    index: int | None = None
    links: tuple[tuple[str, int], ...] = ()


@dataclass
class _Block:
    """The rows of a sentence, what the comments before it say, and the first line that is neither."""

    line: int = 0
    rows: list[TokenRow] = field(default_factory=list)
    id: str | None = None
    document: str | None = None
    fault: str | None = None


def iterate(path: Path, notes: Notes) -> Iterator[Sentence]:
    """Sentences in file order; the scheme of tags is told sentence by sentence."""
    empty = True
    for block in _blocks(path):
        empty = False
        where = f"{path}: line {block.line}" + (f" (id {block.id})" if block.id is not None else "")
        yield from parsed(where, _sentences, block, notes, f"line {block.line}: ")
    if empty:
        raise InputError(f"{path}: the file holds no sentence")


def _blocks(path: Path) -> Iterator[_Block]:
    block, document = _Block(), None
    for number, line in lines(path):
        if not line.strip(BETWEEN):
            if block.line:
                yield block
                block = _Block(document=document)
            continue
        known, value = comment(line)
        if known is None:
            block.line = block.line or number
            try:
                block.rows.append(row(number, line))
            except InputError as error:
                block.fault = block.fault or f"line {number}: {error}"
            continue
        if block.line and known in {"id", "sent_id", "document", "newdoc"}:
            block.fault = block.fault or (
                f"line {number}: a comment in the middle of a sentence: a blank line is missing"
            )
        if known in {"document", "newdoc"}:
            block.document = document = value or None
        elif known in {"id", "sent_id"}:
            block.id = value
    if block.line:
        yield block


def comment(line: str) -> tuple[str | None, str]:
    """A comment's key and value; no key where the line is none, an empty one where it says nothing to us."""
    if line.startswith("-DOCSTART-"):
        return "newdoc", ""
    if found := _DOCUMENT.fullmatch(line):
        return "document", found[1].strip()
    if found := _COMMENT.fullmatch(line):
        key = found[1]
        return {"orig_id": "id", "document": "document"}.get(key, key), found[2]
    return None, ""


def row(number: int, line: str) -> TokenRow:
    """A line of either layout. Raises InputError where it is neither."""
    if "\0" in line:
        raise InputError("a NUL: not a text file")
    if found := _multi_head(line):
        index, word, tag, types, heads = found
        return TokenRow(number, word, tag, int(index), _links(types, heads))
    columns = line.split("\t") if "\t" in line else list(filter(None, line.split(" ")))
    if len(columns) < 2 or not tags.is_tag(columns[-1].strip(BETWEEN)):
        raise InputError(
            f"expected a word, other columns and a tag (O, B-TYPE, …), or 'index word tag [types] [heads]', "
            f"found {line[:60]!r}"
        )
    return TokenRow(number, columns[0].strip(BETWEEN), columns[-1].strip(BETWEEN))


def _multi_head(line: str) -> Sequence[str] | None:
    columns = line.split("\t")
    if (
        len(columns) == 5
        and columns[0].isascii()
        and columns[0].isdecimal()
        and len(columns[0]) < 10
        and columns[3][:1] == "["
        and columns[4][:1] == "["
    ):
        return columns
    found = _MULTI_HEAD.fullmatch(line)
    return None if found is None else found.groups()


def _links(types: str, heads: str) -> tuple[tuple[str, int], ...]:
    if types.strip() == "['N']":  # nearly every line
        return ()
    try:
        names, ends = ast.literal_eval(types.strip()), ast.literal_eval(heads.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise InputError(f"expected ['type', …] and [index, …], found {types[:40]} and {heads[:40]}") from None
    if not isinstance(names, list) or not isinstance(ends, list) or len(names) != len(ends):
        raise InputError(f"as many relation types as heads, both in brackets: found {types[:40]} and {heads[:40]}")
    found = [
        (checked_type(n, "a relation type"), checked_integer(e, "a head")) for n, e in zip(names, ends, strict=True)
    ]
    return tuple((name, end) for name, end in found if name != NONE)


def _sentences(block: _Block, where: str, notes: Notes) -> list[Sentence]:
    if block.fault is not None:
        raise InputError(block.fault)
    rows = block.rows
    check_characters(f"{block.id}{block.document}", "the id or document")
    words = read_words([r.word for r in rows], "words", where, notes)
    for n, r in enumerate(rows):
        if (r.index is None) != (rows[0].index is None):
            raise InputError(f"line {r.line} has another layout than the line where the sentence starts")
        if r.index is not None and r.index != n:
            raise InputError(f"line {r.line} has the index {r.index}, expected {n}: is a blank line missing?")
    listed = tags.spans([r.tag for r in rows], notes, where)
    entities, relations = on_words(words, listed, _relations(rows, listed, where, notes), where, notes)
    return [Sentence(words.words, entities, relations, block.id, block.document)]


def _relations(
    rows: Sequence[TokenRow], entities: Sequence[Entity], where: str, notes: Notes
) -> Iterator[tuple[int, int, str]]:
    owner = {n: at for at, entity in enumerate(entities) for n in range(entity.start, entity.end)}
    for n, r in enumerate(rows):
        for kind, end in r.links:
            for role, word in (("head", n), ("tail", end)):
                if word not in owner:
                    said = f"line {r.line}: a relation's {role} is word {word}, which is in no entity"
                    notes.odd(UNKNOWN, f"{where}: {said}")
                    break
            else:
                yield owner[n], owner[end], kind


def write(sentences: Iterable[Sentence], path: Path, written: Written, schema: Schema | None) -> None:
    """The multi-head layout, BIO tags, tabs. A sentence with a tab or line break in a word is not held."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        document = None
        for whole in sentences:
            reason = _unheld(whole)
            if reason:
                written.lose("sentences", reason)
                continue
            sentence = tags.flat(whole, written)
            held = sentence.document if _plain(sentence.document) else None
            if held != document:
                document = held
                file.write("-DOCSTART-\n" if held is None else f"#doc {held}\n")
            if _plain(sentence.id):
                file.write(f"# id = {sentence.id}\n")
            for what, name in (("ids", sentence.id), ("documents", sentence.document)):
                written.lose(what, "with line breaks, or spaces at an end", int(name is not None and not _plain(name)))
            file.writelines(_rows(sentence))
            file.write("\n")
            written.add(sentence)


def _unheld(sentence: Sentence) -> str:
    if any(c in word for word in sentence.words for c in "\t\n\r"):
        return "a word has a tab or a line break"
    if any(r.type == NONE for r in sentence.relations):
        return f"a relation has the type {NONE}, which stands for none"
    return ""


def _plain(name: str | None) -> bool:
    return name is not None and bool(name.strip()) and name == name.strip() and not any(c in name for c in "\n\r")


def _rows(sentence: Sentence) -> Iterator[str]:
    links: dict[int, list[Relation]] = {}
    for relation in sentence.relations:
        links.setdefault(relation.head.end - 1, []).append(relation)
    for n, (word, tag) in enumerate(zip(sentence.words, tags.to_bio(sentence), strict=True)):
        own = links.get(n)
        types = [r.type for r in own] if own else [NONE]
        heads = [r.tail.end - 1 for r in own] if own else [n]
        yield f"{n}\t{word}\t{tag}\t{types}\t{heads}\n"
