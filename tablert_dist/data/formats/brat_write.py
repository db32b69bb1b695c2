"""Writing BRAT: a folder with a pair of files a document, one sentence a line, and the settings that say so."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from tablert_dist.data.formats.notes import Written
from tablert_dist.data.formats.spans import text_and_offsets
from tablert_dist.schema import Entity, Schema, Sentence
from tablert_dist.text import split_words

TOGETHER = 50
"""Sentences without a document that are written into one."""
SETTINGS = "[options]\nTokens\ttokenizer:whitespace\nSentences\tsplitter:newline\n"


def write(sentences: Iterable[Sentence], path: Path, written: Written, schema: Schema | None) -> None:
    """Documents are named by the sentences; those without one are put together by the fifty."""
    path.mkdir()
    (path / "tools.conf").write_text(SETTINGS, encoding="utf-8")
    types: tuple[dict[str, None], dict[str, None]] = ({}, {})
    used: set[str] = set()
    for name, group in _documents(sentences):
        stem = _file_name(name, used)
        if stem != name:
            written.lose("documents", "their name is no name for a file, or came before: another was given")
        _write_document(path / stem, group, written, types)
    if schema is not None:
        types = (dict.fromkeys(schema.entity_types), dict.fromkeys(schema.relation_types))
    (path / "annotation.conf").write_text(_configuration(*types, schema.symmetric if schema else ()), encoding="utf-8")


def _documents(sentences: Iterable[Sentence]) -> Iterator[tuple[str, Iterator[Sentence]]]:
    counter = itertools.count()

    def key(sentence: Sentence) -> tuple[bool, str]:
        if sentence.document is not None:
            return True, sentence.document
        return False, f"sentences-{next(counter) // TOGETHER:06d}"

    numbered = ((key(s), s) for s in sentences)
    for (_, name), group in itertools.groupby(numbered, key=lambda pair: pair[0]):
        yield name, (sentence for _, sentence in group)


def _file_name(name: str, used: set[str]) -> str:
    """A name that any file system takes, and that no other document has, however it is written."""
    stem = re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", name).strip(" .")[:80] or "document"
    while len(stem.encode()) > 200:
        stem = stem[:-1]
    found = stem
    for n in itertools.count(2):
        if found.casefold() not in used:
            break
        found = f"{stem}-{n}"
    used.add(found.casefold())
    return found


def _write_document(
    stem: Path, sentences: Iterable[Sentence], written: Written, types: tuple[dict[str, None], dict[str, None]]
) -> None:
    entities, relations, at = itertools.count(1), itertools.count(1), 0
    with (
        stem.with_name(stem.name + ".txt").open("w", encoding="utf-8", newline="\n") as text_file,
        stem.with_name(stem.name + ".ann").open("w", encoding="utf-8", newline="\n") as file,
    ):
        for sentence in sentences:
            text, offsets = text_and_offsets(sentence)
            if any(c in text for c in "\n\r"):
                # A sentence is a line; a line break is white space as a space is.
                text = text.replace("\n", " ").replace("\r", " ")
                written.lose("texts", "line breaks in a sentence became spaces")
            if split_words(text) != list(offsets):
                written.lose("words", "sentences whose words will be split otherwise when they are read again")
            written.lose("ids", "a sentence is named by its document", int(sentence.id is not None))
            types[0].update((e.type.replace(" ", "_"), None) for e in sentence.entities)
            types[1].update((r.type.replace(" ", "_"), None) for r in sentence.relations)
            names: dict[Entity, str] = {}
            for entity in sentence.entities:
                name = f"T{next(entities)}"
                names.setdefault(entity, name)
                start, end = offsets[entity.start][0], offsets[entity.end - 1][1]
                file.write(f"{name}\t{_type(entity.type, written)} {at + start} {at + end}\t{text[start:end]}\n")
            for relation in sentence.relations:
                ends = f"Arg1:{names[relation.head]} Arg2:{names[relation.tail]}"
                file.write(f"R{next(relations)}\t{_type(relation.type, written)} {ends}\n")
            text_file.write(text + "\n")
            at += len(text) + 1
            written.add(sentence)


def _type(name: str, written: Written) -> str:
    if " " in name:
        written.lose("types", "a type has a space, which became _")
    return name.replace(" ", "_")


def _configuration(entities: Iterable[str], relations: Iterable[str], symmetric: Collection[str]) -> str:
    """BRAT's `annotation.conf`: any relation between any two entities."""
    ends, undirected = "Arg1:<ENTITY>, Arg2:<ENTITY>", ", <REL-TYPE>:symmetric"
    parts = [
        "[entities]",
        *(name.replace(" ", "_") for name in entities),
        "[relations]",
        *(f"{name.replace(' ', '_')}\t{ends}{undirected if name in symmetric else ''}" for name in relations),
        "[events]",
        "[attributes]",
    ]
    return "\n".join(parts) + "\n"
