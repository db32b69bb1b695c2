"""The numbers of a corpus, as a tree that JSON holds: counts by split and type, lengths, arguments, shared sentences."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

from tablert_dist.data.validation.finding import Case, SplitPart
from tablert_dist.data.validation.holding import by_head
from tablert_dist.data.validation.lengths import encode
from tablert_dist.data.validation.types import type_counts
from tablert_dist.errors import InputError
from tablert_dist.heads.table_encoding import TableLoss
from tablert_dist.schema import overlapping_pairs


def summarise(case: Case) -> dict[str, Any]:
    """`splits` by name, `types`, `arguments` of each relation type, `shared` sentences, the encoder's `limit`."""
    arguments: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in case.schema.relation_types}
    for part in case.parts:
        for sentence in part.sentences:
            for relation in sentence.relations:
                arguments[relation.type][relation.head.type, relation.tail.type] += 1
    words = {part.split: {s.words for s in part.sentences} for part in case.parts}
    return {
        "splits": {part.split: _split(case, part) for part in case.parts},
        "types": {
            "entity": list(case.schema.entity_types),
            "relation": list(case.schema.relation_types),
            "symmetric": sorted(case.schema.symmetric),
        },
        "arguments": {
            kind: [
                {"head": h, "tail": t, "count": n} for (h, t), n in sorted(found.items(), key=lambda x: (-x[1], x[0]))
            ]
            for kind, found in arguments.items()
        },
        "shared": [{"splits": [a, b], "sentences": len(words[a] & words[b])} for a, b in combinations(words, 2)],
        "limit": case.tokenizer.limit if case.tokenizer else None,
    }


def _split(case: Case, part: SplitPart) -> dict[str, Any]:
    counts = type_counts(part)
    heads = by_head(case, part)
    own = next(entry for entry in heads if case.head.name in entry["heads"])
    pairs = [overlapping_pairs(s) for s in part.sentences]
    lengths = [len(s.words) for s in part.sentences]
    subwords: list[int] | None = None
    if case.tokenizer:
        try:
            subwords = [len(e.ids) for e in encode(case.tokenizer, part.sentences)]
        except InputError:
            subwords = None  # the finding `subwords` says why
    return {
        "file": part.file,
        "sentences": len(part.sentences),
        "words": sum(lengths),
        "entities": counts["entity"].total(),
        "relations": counts["relation"].total(),
        "without_entities": sum(not s.entities for s in part.sentences),
        "documents": len({s.document for s in part.sentences} - {None}),
        "entity_types": dict(counts["entity"]),
        "relation_types": dict(counts["relation"]),
        "overlapping_pairs": sum(map(len, pairs)),
        "sentences_with_overlap": sum(map(bool, pairs)),
        "lost_to_the_table": str(TableLoss(**own["lost"])),
        "best_f1": own["best_f1"],
        "heads": heads,
        "length_words": _spread(lengths),
        "length_subwords": None if subwords is None else _spread(subwords),
        "over_limit": sum(n > case.tokenizer.limit for n in subwords or ()) if case.tokenizer else None,
    }


def _spread(values: list[int]) -> dict[str, Any]:
    """Least, median, mean, 95th percentile, most, and how often each length occurs."""
    ordered = sorted(values)
    if not ordered:
        return {"least": 0, "median": 0, "mean": 0.0, "p95": 0, "most": 0, "counts": {}}
    last = len(ordered) - 1
    return {
        "least": ordered[0],
        "median": ordered[last // 2],
        "mean": round(sum(ordered) / len(ordered), 2),
        "p95": ordered[round(0.95 * last)],
        "most": ordered[-1],
        "counts": dict(sorted(Counter(ordered).items())),
    }
