"""WebAnno TSV 3.3, written: one document, for the layers `custom.Span` and `custom.Relation` of an INCEpTION project."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tablert_dist.data.formats.notes import Written
from tablert_dist.data.formats.spans import text_and_offsets
from tablert_dist.data.formats.webanno_cells import escape_text, escape_value
from tablert_dist.data.formats.webanno_rows import DOCUMENT, RELATION, SENTENCE, SPAN, TEXT
from tablert_dist.schema import Schema, Sentence

HEADER = f"#FORMAT=WebAnno TSV 3.3\n{SPAN}custom.Span|label\n{RELATION}custom.Relation|label|BT_custom.Span\n\n"


def write(sentences: Iterable[Sentence], path: Path, written: Written, schema: Schema | None) -> None:
    """A sentence with a tab or line break in a word is not held."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(HEADER)
        number, at, entities = 0, 0, 0
        for sentence in sentences:
            if any(c in word for word in sentence.words for c in "\t\n\r"):
                written.lose("sentences", "a word has a tab or a line break")
                continue
            number += 1
            text, offsets = text_and_offsets(sentence)
            start = offsets[0][0]
            written.lose("texts", "white space before the first word is not held", int(start > 0))
            text, offsets = text[start:], [(a - start, b - start) for a, b in offsets]
            file.write(f"\n{_names(sentence, written)}")
            file.writelines(f"{TEXT}{escape_text(line)}\n" for line in text.split("\n"))
            units = [at]  # where each character begins, in units of UTF-16
            units.extend(at := at + 1 + (c > "\uffff") for c in text)
            file.writelines(_rows(sentence, number, [(units[a], units[b]) for a, b in offsets], entities + 1))
            at, entities = at + 1, entities + len(sentence.entities)
            written.add(sentence)


def _names(sentence: Sentence, written: Written) -> str:
    found = ""
    for what, key, name in (("ids", SENTENCE, sentence.id), ("documents", DOCUMENT, sentence.document)):
        if name is None:
            continue
        if name.strip():
            found += f"{key}{escape_text(name)}\n"
        else:
            written.lose(what, "a name of white space")
    return found


def _rows(sentence: Sentence, number: int, places: Sequence[tuple[int, int]], first: int) -> Iterable[str]:
    """The tokens; each entity has a number from `first` on, a relation stands where its tail begins."""
    spans: list[list[str]] = [[] for _ in sentence.words]
    arrows: list[list[tuple[str, str]]] = [[] for _ in sentence.words]
    numbers = {}
    for own, entity in enumerate(sentence.entities, first):
        numbers[entity] = own
        for at in range(entity.start, entity.end):
            spans[at].append(f"{escape_value(entity.type)}[{own}]")
    for relation in sentence.relations:
        source = f"{number}-{relation.head.start + 1}[{numbers[relation.head]}_{numbers[relation.tail]}]"
        arrows[relation.tail.start].append((escape_value(relation.type), source))
    for n, (word, (start, end)) in enumerate(zip(sentence.words, places, strict=True)):
        types, sources = ("|".join(arrow[part] for arrow in arrows[n]) or "_" for part in (0, 1))
        marks = "|".join(spans[n]) or "_"
        yield f"{number}-{n + 1}\t{start}-{end}\t{word}\t{marks}\t{types}\t{sources}\t\n"
