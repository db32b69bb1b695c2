"""Kept predictions beside the gold sentences that they are of: matched by text, whichever way the text was cut into words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from tablert_dist.data import formats
from tablert_dist.data.formats import jsonl
from tablert_dist.data.formats.notes import Notes
from tablert_dist.data.formats.records import list_of, parsed
from tablert_dist.data.formats.source import Record, objects
from tablert_dist.data.formats.spans import text_and_offsets
from tablert_dist.errors import InputError, counted
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.text import Span

Pair = tuple[Sentence, Sentence]


def match(gold: Sequence[Sentence], path: Path, name: str, notes: Notes) -> list[Pair]:
    """Return (gold, predicted) sentences with the same words, from the JSON lines of `tablert predict` or any format.

    A line may hold one sentence, or a text of several. Where a prediction ends inside a word of the gold, both
    sentences are cut there, so that characters are compared. `name` is the gold's, for messages. Raises InputError with
    the line and both texts where they differ, and where there are too few or too many.
    """
    if not path.exists():
        raise InputError(f"--predictions {path} does not exist")
    if formats.detect(path) == "jsonl":
        return _of_lines(gold, path, name, notes)
    found = formats.read(path, notes=notes)
    pairs = []
    for n, (ours, theirs) in enumerate(zip(gold, found, strict=False), 1):
        if ours.words != theirs.words:
            raise _differ(f"{path}: sentence {n}", " ".join(theirs.words), f"{name} sentence {n}", ours)
        pairs.append((ours, theirs))
    _same_number(path, len(found), name, gold)
    return pairs


def _of_lines(gold: Sequence[Sentence], path: Path, name: str, notes: Notes) -> list[Pair]:
    pairs: list[Pair] = []
    number = 0
    for index, record in objects(path):
        number = index + 1
        where = f"{path}: line {number}"
        if "error" in record and "text" not in record:
            raise InputError(f"{where} says that its text could not be read: {record['error']}")
        text = record.get("text")
        if isinstance(text, str) and not text.strip():
            continue
        at = len(pairs)
        if at == len(gold):
            raise InputError(
                f"{where}: {name} has only {counted(len(gold), 'sentence')}, this is one more: {_cut(text)}"
            )
        if offsets := _offsets_of(gold[at], text):
            pairs.append(_refined(gold[at], offsets, record, where, notes))
            continue
        # A text of several sentences, or one that the gold has without some white space.
        for part in parsed(where, jsonl.sentences_of, record, notes):
            at = len(pairs)
            if at == len(gold) or gold[at].words != part.words:
                raise _differ(
                    where, " ".join(part.words), f"{name} sentence {at + 1}", gold[at] if at < len(gold) else None
                )
            pairs.append((gold[at], part))
    _same_number(path, len(pairs), name, gold)
    return pairs


def _offsets_of(sentence: Sentence, text: str | None) -> Sequence[Span] | None:
    """The characters of the gold's words in the prediction's text, where that is the gold's own or its words joined."""
    for one in (sentence, Sentence(sentence.words)):
        own, offsets = text_and_offsets(one)
        if own == text:
            return offsets
    return None


def _refined(gold: Sentence, offsets: Sequence[Span], record: Record, where: str, notes: Notes) -> Pair:
    """Both sentences over words that no entity of either cuts."""
    items = [e for e in list_of(record, "entities") if isinstance(e, dict)]
    cuts = {int(item[key]) for item in items for key in ("start", "end") if isinstance(item.get(key), int)}
    spans = [piece for span in offsets for piece in _pieces(span, cuts)]
    starts = {start: n for n, (start, _) in enumerate(spans)}
    ends = {end: n + 1 for n, (_, end) in enumerate(spans)}
    (predicted,) = parsed(where, jsonl.sentences_of, {**record, "word_offsets": [list(s) for s in spans]}, notes)
    moved = {
        e: Entity(starts[offsets[e.start][0]], ends[offsets[e.end - 1][1]], e.type, e.probability)
        for e in gold.entities
    }
    relations = tuple(Relation(moved[r.head], moved[r.tail], r.type, r.probability) for r in gold.relations)
    return Sentence(predicted.words, tuple(moved.values()), relations, gold.id), predicted


def _pieces(span: Span, cuts: set[int]) -> list[Span]:
    inside = sorted(cut for cut in cuts if span[0] < cut < span[1])
    return list(pairwise([span[0], *inside, span[1]]))


def _same_number(path: Path, found: int, name: str, gold: Sequence[Sentence]) -> None:
    if found == len(gold):
        return
    said = f"{path}: {counted(found, 'prediction')}, but {name} has {counted(len(gold), 'sentence')}"
    if found < len(gold):
        said += f"; the first without one is sentence {found + 1}: {_cut(text_and_offsets(gold[found])[0])}"
    raise InputError(said)


def _differ(where: str, theirs: str, place: str, ours: Sentence | None) -> InputError:
    text = "there is none" if ours is None else _cut(" ".join(ours.words))
    return InputError(f"{where} is of another text: {_cut(theirs)}; {place}: {text}")


def _cut(text: str | None) -> str:
    text = str(text)
    return f"'{text if len(text) <= 80 else text[:79] + '…'}'"
