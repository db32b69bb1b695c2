"""Label Studio's JSON, written: a task a sentence, with annotations or with predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tablert_dist.data.formats.array import JsonArray
from tablert_dist.data.formats.jsonl import text_fields
from tablert_dist.data.formats.notes import Written
from tablert_dist.data.formats.source import Record
from tablert_dist.data.formats.spans import text_and_offsets
from tablert_dist.data.formats.spert import names
from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tablert_dist.text import Span


def write(
    sentences: Iterable[Sentence], path: Path, written: Written, schema: Schema | None, key: str = "annotations"
) -> None:
    """A task a sentence, for a labelling interface whose tags are named `label` and `text` (docs/guides/formats.md)."""
    with JsonArray(path) as array:
        for sentence in sentences:
            array.add(_to_task(sentence, key))
            sure = sum(r.probability is not None for r in sentence.relations)
            written.lose("probabilities", "of relations: a task has none for them", sure)
            written.add(sentence)


def _to_task(sentence: Sentence, key: str) -> Record:
    text, offsets = text_and_offsets(sentence)
    about: Record = {"result": results_of(sentence, text, offsets)}
    if key == "predictions":
        about = {"model_version": "tablert", **score_of(sentence), **about}
    return {"data": names(sentence, "id") | text_fields(sentence), key: [about]}


def results_of(sentence: Sentence, text: str, offsets: Sequence[Span]) -> list[Record]:
    """Regions and relations, `offsets[n]` being word n's characters in the text; tags are named `label` and `text`."""
    results: list[Record] = []
    keys: dict[Entity, str] = {}
    for n, entity in enumerate(sentence.entities):
        keys.setdefault(entity, f"e{n}")
        start, end = offsets[entity.start][0], offsets[entity.end - 1][1]
        value = {"start": start, "end": end, "text": text[start:end], "labels": [entity.type]}
        region = {"id": f"e{n}", "from_name": "label", "to_name": "text", "type": "labels", "value": value}
        results.append(region if entity.probability is None else region | {"score": entity.probability})
    for relation in sentence.relations:
        ends = {"from_id": keys[relation.head], "to_id": keys[relation.tail]}
        results.append({"type": "relation", **ends, "direction": "right", "labels": [relation.type]})
    return results


def score_of(sentence: Sentence) -> Record:
    """`score`, where probabilities are known: of the least certain part, which an annotator should look at first."""
    items: list[Entity | Relation] = [*sentence.entities, *sentence.relations]
    sure = [item.probability for item in items if item.probability is not None]
    return {"score": min(sure)} if sure else {}
