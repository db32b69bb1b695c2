"""spaCy's DocBin: entities in `doc.ents` and `doc.spans["sc"]`, relations in `doc._.rel` (extra [spacy])."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tablert_dist.data.formats.notes import Notes, Written
from tablert_dist.data.formats.records import UNKNOWN, check_characters, checked_integer, checked_type, parsed
from tablert_dist.data.formats.spans import ACROSS, CROSSING, EMPTY, text_and_offsets
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Schema, Sentence, longest
from tablert_dist.text import Span

GROUP = "sc"
"""The key of `doc.spans` that spaCy's span categoriser reads by default."""
REL = ("._.", "rel", None, None)
"""Where `doc._.rel` lies in `doc.user_data`: `{(head.start, tail.start): {type: 1.0}}`, as in spaCy's rel_component
tutorial. Read and written there, so that no extension need be registered."""
LEAST = 0.5
"""A relation counts from this value on; the tutorial writes 0.0 for a pair that has none."""


def _spacy() -> tuple[Any, Any]:
    """DocBin and an empty vocabulary."""
    try:
        from spacy.tokens import DocBin
        from spacy.vocab import Vocab
    except ImportError:
        raise InputError("spaCy's files need the extra [spacy]: pip install 'tablert-dist[spacy]'") from None
    return DocBin, Vocab()


def iterate(path: Path, notes: Notes) -> Iterator[Sentence]:
    """Sentences in file order; a document is cut where its tokens say that a sentence starts.

    The file is read at once, its documents are made one by one. Raises InputError naming file, record and reason.
    """
    DocBin, vocab = _spacy()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        bin = DocBin().from_bytes(data)
        docs = bin.get_docs(vocab)
    except Exception as error:  # whatever zlib, msgpack and numpy make of other bytes
        raise InputError(f"{path}: not a spaCy DocBin: {_said(error)}") from None
    index = -1
    while True:
        index += 1
        where = f"{path}: record {index}"
        try:
            doc = next(docs, None)
            if doc is None:
                break
            found = parsed(where, _sentences, doc, notes)
        except InputError:
            raise
        except Exception as error:  # a DocBin whose parts do not fit together fails anywhere inside spaCy
            raise InputError(f"{where}: spaCy cannot read it: {_said(error)}") from None
        yield from found
    if index == 0:
        raise InputError(f"{path}: the DocBin holds no document")


def _said(error: Exception) -> str:
    return f"{type(error).__name__} {error}".replace("\n", " ")[:120]


def _sentences(doc: Any, where: str, notes: Notes) -> list[Sentence]:
    check_characters(doc.text, "the text")
    data = doc.user_data
    entities = _entities(doc, where, notes)
    relations = _relations(data.get(REL, {}), entities, where, notes)
    cuts = _cuts(doc)
    name, document = (_name(data.get(key), key) for key in ("id", "document"))
    homes = {entity: _home(entity, cuts) for entity in entities}
    own_entities: list[list[Entity]] = [[] for _ in cuts]
    for entity, home in homes.items():
        if home is not None:
            own_entities[home].append(entity)
    own_relations: list[list[Relation]] = [[] for _ in cuts]
    for relation in relations:
        home = homes[relation.head]
        if home is not None and home == homes[relation.tail]:
            own_relations[home].append(relation)
    found = []
    for number, (start, end) in enumerate(cuts):
        # spaCy has tokens of white space, which are no words.
        kept = [token for token in doc[start:end] if token.text.strip()]
        if not kept:
            continue
        place = {token.i: n for n, token in enumerate(kept)}
        inside = {entity: _placed(entity, place) for entity in own_entities[number]}
        links = [Relation(inside[r.head], inside[r.tail], r.type) for r in own_relations[number]]
        first = kept[0].idx if len(cuts) > 1 else 0
        last = kept[-1].idx + len(kept[-1].text) if len(cuts) > 1 else len(doc.text)
        found.append(
            Sentence(
                tuple(token.text for token in kept),
                tuple(inside.values()),
                tuple(links),
                name if name is None or len(cuts) == 1 else f"{name}.{number}",
                document if document is not None or len(cuts) == 1 else name,
                doc.text[first:last],
                tuple((token.idx - first, token.idx - first + len(token.text)) for token in kept),
            )
        )
    if crossing := sum(home is None for home in homes.values()):
        notes.count(CROSSING, where, crossing)
    across = len(relations) - sum(len(sentence.relations) for sentence in found)
    if across:
        notes.count(ACROSS, where, across)
    return found


def _home(entity: Entity, cuts: list[Span]) -> int | None:
    """The sentence that an entity lies in; None where it reaches across two."""
    number = bisect_right(cuts, entity.start, key=lambda cut: cut[0]) - 1
    return number if number >= 0 and entity.end <= cuts[number][1] else None


def _cuts(doc: Any) -> list[Span]:
    if len(doc) and doc.has_annotation("SENT_START"):
        return [(sent.start, sent.end) for sent in doc.sents]
    return [(0, len(doc))]


def _name(value: Any, key: str) -> str | None:
    if value is not None and (not isinstance(value, str | int) or isinstance(value, bool)):
        raise InputError(f"user_data['{key}'] must be a string or an integer")
    check_characters(str(value), f"user_data['{key}']")
    return None if value is None else str(value)


def _entities(doc: Any, where: str, notes: Notes) -> list[Entity]:
    """Those of the span group in its order, and those of `doc.ents` that it lacks; of words only."""
    spans = [*doc.spans.get(GROUP, ()), *doc.ents]
    if others := [key for key in doc.spans if key != GROUP]:
        notes.count(f"span groups other than '{GROUP}', left out", f"{where}: {', '.join(others)[:80]}", len(others))
    found: dict[Entity, None] = {}
    for span in spans:
        start, end = span.start, span.end
        while start < end and not doc[start].text.strip():
            start += 1
        while end > start and not doc[end - 1].text.strip():
            end -= 1
        if start == end:
            notes.count(EMPTY, where)
            continue
        found[Entity(start, end, checked_type(span.label_, f"the label of [{start}, {end})"))] = None
    return list(found)


def _placed(entity: Entity, place: dict[int, int]) -> Entity:
    return Entity(place[entity.start], place[entity.end - 1] + 1, entity.type)


def _relations(rel: Any, entities: list[Entity], where: str, notes: Notes) -> list[Relation]:
    if not isinstance(rel, dict):
        raise InputError("doc._.rel must be {(head start, tail start): {type: 1.0}}")
    by_start: dict[int, list[Entity]] = {}
    for entity in entities:
        by_start.setdefault(entity.start, []).append(entity)
    found = []
    for key, types in rel.items():
        if not isinstance(key, tuple | list) or len(key) != 2 or not isinstance(types, dict):
            raise InputError(f"doc._.rel[{str(key)[:40]}] must be (head start, tail start): {{type: 1.0}}")
        ends = []
        for role, start in zip(("head", "tail"), key, strict=True):
            starting = by_start.get(checked_integer(start, f"doc._.rel: a {role}"))
            if any(not isinstance(v, int | float) for v in types.values()):
                raise InputError(f"doc._.rel[{key}] must have numbers as values")
            if starting is None and any(v >= LEAST for v in types.values()):
                notes.odd(UNKNOWN, f"{where}: doc._.rel[{key}]: its {role} starts no entity")
            ends.append(_first(starting or [], where, key, notes))
        for kind, value in types.items():
            if value >= LEAST and ends[0] is not None and ends[1] is not None:
                found.append(Relation(ends[0], ends[1], checked_type(kind, f"doc._.rel[{key}]: a type")))
    return found


def _first(starting: list[Entity], where: str, key: Any, notes: Notes) -> Entity | None:
    """The longest of the entities that start at a word: a key of `rel` does not say which."""
    if len(starting) > 1:
        notes.count("relations' ends where several entities start, read as the longest", f"{where}: rel[{key}]")
    return max(starting, key=lambda e: e.end, default=None)


def write(sentences: Iterable[Sentence], path: Path, written: Written, schema: Schema | None) -> None:
    """A document a sentence, with `id` and `document` in its user data."""
    DocBin, vocab = _spacy()
    bin = DocBin(attrs=["ORTH", "SPACY", "ENT_IOB", "ENT_TYPE", "SENT_START"], store_user_data=True)
    for sentence in sentences:
        doc, held = _to_doc(sentence, vocab, written)
        bin.add(doc)
        written.add(held)
    bin.to_disk(path)


def _to_doc(sentence: Sentence, vocab: Any, written: Written) -> tuple[Any, Sentence]:
    from spacy.tokens import Doc
    from spacy.tokens import Span as DocSpan

    once = list(dict.fromkeys(sentence.entities))
    written.lose("entities", "marked twice", len(sentence.entities) - len(once))
    text, offsets = text_and_offsets(sentence)
    ends = [start for start, _ in offsets[1:]] + [len(text)]
    gaps = [text[end:following] for (_, end), following in zip(offsets, ends, strict=True)]
    if offsets[0][0] or any(gap not in ("", " ") for gap in gaps):
        written.lose("texts", "white space other than a space between words became one space")
    doc = Doc(vocab, words=list(sentence.words), spaces=[bool(gap) for gap in gaps])
    flat = longest(once)
    doc.ents = [DocSpan(doc, e.start, e.end, label=e.type) for e in sorted(flat)]
    if len(flat) < len(once) or once != sorted(once):
        doc.spans[GROUP] = [DocSpan(doc, e.start, e.end, label=e.type) for e in once]
    rel: dict[tuple[int, int], dict[str, float]] = {}
    held = []
    for relation in sentence.relations:
        ends_here = [[e for e in once if e.start == end.start] for end in (relation.head, relation.tail)]
        longest_here = [max(group, key=lambda e: e.end) for group in ends_here]
        pair = rel.setdefault((relation.head.start, relation.tail.start), {})
        if longest_here != [relation.head, relation.tail]:
            written.lose("relations", "an end starts where a longer entity does")
        elif relation.type in pair:
            written.lose("relations", "listed twice")
        else:
            pair[relation.type] = 1.0
            held.append(relation)
    doc.user_data[REL] = {pair: types for pair, types in rel.items() if types}
    doc.user_data |= {k: v for k, v in (("id", sentence.id), ("document", sentence.document)) if v is not None}
    return doc, Sentence(sentence.words, tuple(once), tuple(held))
