"""Tag sequences and entities: BIO, IOB1, BILOU and BIOES read, BILOU and BIO written."""

from __future__ import annotations

from collections.abc import Sequence

from tablert_dist.data.formats.notes import Notes, Written
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Sentence, longest, restrict

CLOSED = {"B": "B", "I": "I", "L": "L", "E": "L", "U": "U", "S": "U"}
"""Prefixes of the schemes that mark an entity's last word, as those of BILOU."""
LAST = {"L-", "U-", "E-", "S-"}


def is_bio(tags: Sequence[object]) -> bool:
    """Whether a sentence has entities, none with the L, U, E or S that each has in the schemes that mark last words."""
    return any(tag != "O" for tag in tags) and not any(isinstance(tag, str) and tag[:2] in LAST for tag in tags)


def is_tag(text: str) -> bool:
    """Whether it is O, or a prefix of any scheme, a dash and a type."""
    return text == "O" or (text[:1] in CLOSED and text[1:2] == "-" and len(text) > 2)


def spans(tags: Sequence[object], notes: Notes, where: str) -> list[Entity]:
    """The entities of a sentence in any scheme, in order. Raises InputError naming the first tag that is out of place.

    In BIO an I that continues nothing opens an entity (IOB1 writes so), and is counted.
    """
    return _open(tags, notes, where) if is_bio(tags) else closed_spans(tags)


def _open(tags: Sequence[object], notes: Notes, where: str) -> list[Entity]:
    entities: list[Entity] = []
    start, current = 0, ""
    for i, tag in enumerate([*tags, "O"]):
        prefix, kind = _parts(tag, i, "BI")
        if current and not (prefix == "I" and kind == current):
            entities.append(Entity(start, i, current))
            current = ""
        if prefix == "I" and not current:
            notes.count("tags I- that continue no entity, read as the start of one (IOB1)", f"{where}: tags[{i}]")
        if prefix != "O" and not current:
            start, current = i, kind
    return entities


def closed_spans(tags: Sequence[object]) -> list[Entity]:
    """The entities of a well-formed sequence whose last words are marked."""
    entities: list[Entity] = []
    opened: tuple[int, str] | None = None
    allowed = "".join(CLOSED)
    for i, tag in enumerate(tags):
        given, kind = _parts(tag, i, allowed)
        prefix = CLOSED.get(given, "O")
        if opened and (prefix not in {"I", "L"} or kind != opened[1]):
            raise InputError(f"tags[{i}] = {tag!r}: the entity B-{opened[1]} at tags[{opened[0]}] is not closed by L")
        if not opened and prefix in {"I", "L"}:
            raise InputError(f"tags[{i}] = {tag!r}: no B-{kind} before it")
        if prefix == "B":
            opened = (i, kind)
        elif prefix == "U":
            entities.append(Entity(i, i + 1, kind))
        elif prefix == "L" and opened:
            entities.append(Entity(opened[0], i + 1, kind))
            opened = None
    if opened:
        raise InputError(f"tags[{opened[0]}] = 'B-{opened[1]}': the sentence ends before an L closes it")
    return entities


def _parts(tag: object, i: int, allowed: str) -> tuple[str, str]:
    prefix, dash, kind = tag.partition("-") if isinstance(tag, str) else ("", "", "")
    if tag == "O":
        return "O", ""
    if len(prefix) != 1 or prefix not in allowed or not dash or not kind.strip() or not kind.isprintable():
        ways = ", ".join(f"{p}-" for p in allowed)
        raise InputError(f"tags[{i}] = {str(tag)[:60]!r}: expected O or {ways} and a type")
    return prefix, kind


def flat(sentence: Sentence, written: Written) -> Sentence:
    """The sentence as tags hold it: each entity once, by position, no overlap (longest kept); the rest is counted."""
    once = dict.fromkeys(sentence.entities)
    kept = longest(once)
    fits = restrict(sentence, kept)
    written.lose("entities", "marked twice", len(sentence.entities) - len(once))
    written.lose("entities", "overlapping a longer one", len(once) - len(kept))
    written.lose("relations", "of an entity that is not held", len(sentence.relations) - len(fits.relations))
    # A Sentence is frozen; `restrict` gives a new one, and this puts its entities into the order of their words.
    return Sentence(fits.words, tuple(sorted(kept)), fits.relations, fits.id, fits.document, fits.text, fits.offsets)


def to_bilou(sentence: Sentence) -> list[str]:
    """One tag a word; the sentence is one that `flat` gave."""
    tags = ["O"] * len(sentence.words)
    for entity in sentence.entities:
        length = entity.end - entity.start
        prefixes = "U" if length == 1 else "B" + "I" * (length - 2) + "L"
        tags[entity.start : entity.end] = [f"{prefix}-{entity.type}" for prefix in prefixes]
    return tags


def to_bio(sentence: Sentence) -> list[str]:
    """The same in BIO."""
    tags = ["O"] * len(sentence.words)
    for entity in sentence.entities:
        prefixes = "B" + "I" * (entity.end - entity.start - 1)
        tags[entity.start : entity.end] = [f"{prefix}-{entity.type}" for prefix in prefixes]
    return tags
