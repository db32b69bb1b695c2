"""One sentence as doccano, Prodigy and GLiNER write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tablert_dist.schema import Entity, Relation, Sentence

TEXT = "Edda Lund runs Brack Mills."
WORDS = ("Edda", "Lund", "runs", "Brack", "Mills", ".")
EDDA, MILLS = Entity(0, 2, "Per"), Entity(3, 5, "Org")
RUNS = Sentence(WORDS, (EDDA, MILLS), (Relation(EDDA, MILLS, "runs"),), "4")
PLACES = [(0, 4), (5, 9), (10, 14), (15, 20), (21, 26), (26, 27)]


def doccano() -> dict[str, Any]:
    return {
        "id": 4,
        "text": TEXT,
        "entities": [
            {"id": 31, "label": "Per", "start_offset": 0, "end_offset": 9},
            {"id": 30, "label": "Org", "start_offset": 15, "end_offset": 26},
        ],
        "relations": [{"id": 9, "from_id": 31, "to_id": 30, "type": "runs"}],
        "Comments": ["the second one is a mill"],
    }


def span(first: int, last: int, label: str | None) -> dict[str, Any]:
    start, end = PLACES[first][0], PLACES[last][1]
    return {"start": start, "end": end, "token_start": first, "token_end": last, "label": label}


def prodigy() -> dict[str, Any]:
    tokens = [
        {"text": TEXT[start:end], "start": start, "end": end, "id": n, "ws": True}
        for n, (start, end) in enumerate(PLACES)
    ]
    ends = {"head_span": span(0, 1, "Per"), "child_span": span(3, 4, "Org")}
    return {
        "text": TEXT,
        "meta": {"id": 4, "source": ["a list"]},
        "tokens": tokens,
        "spans": [span(0, 1, "Per"), span(3, 4, "Org")],
        "relations": [{"head": 1, "child": 4, "label": "runs", "color": "#ffd882", **ends}],
        "answer": "accept",
    }


def gliner() -> dict[str, Any]:
    ner = [[0, 1, "Per"], [3, 4, "Org"]]
    return {"tokenized_text": list(WORDS), "ner": ner, "relations": [[0, 1, "runs"]], "id": 4}


GOOD = {"doccano": doccano, "prodigy": prodigy, "gliner": gliner}


def put(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    return path
