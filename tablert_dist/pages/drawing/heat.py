"""The table of a sentence for the page: of each word pair the likeliest relation tag, of each word its entity tag."""

from __future__ import annotations

from typing import Any

import numpy as np

from tablert_dist.pages.drawing.rows import visible
from tablert_dist.schema import Sentence
from tablert_dist.tags import Floats, TagSet

MOST_WORDS = 60
"""A longer sentence's table is not drawn: its cells would be too many to look at."""


def payload(sentence: Sentence, entity_NE: Floats, relation_NNR: Floats) -> dict[str, Any]:
    """Words, `entity` [N] tag ids, `relation` [N(N-1)/2] tag ids of the cells i < j row by row (never `none`).

    `entity_p`, `relation_p` are their probabilities in thousandths; `read` lists the cells that gave a relation.
    """
    n = len(sentence.words)
    upper = np.triu_indices(n, 1)
    cells = relation_NNR[upper][:, 1:]
    # A schema can be without relation types, and then a cell has no tag but `none`.
    drawn = cells.shape[1] > 0
    best = cells.argmax(-1) if drawn else np.zeros(0, np.int64)
    read = [sorted((r.head.end - 1, r.tail.end - 1)) for r in sentence.relations]
    return {
        "words": [visible(word) for word in sentence.words],
        "entity": entity_NE.argmax(-1).tolist(),
        "entity_p": _thousandths(entity_NE.max(-1)),
        "relation": (best + 1).tolist(),
        "relation_p": _thousandths(np.take_along_axis(cells, best[:, None], -1)[:, 0]) if drawn else [],
        "read": read,
    }


def tag_names(tags: TagSet, colours: dict[tuple[str, str], int]) -> dict[str, list[dict[str, Any]]]:
    """Name and colour of each tag id; a relation tag's `arrow` says which of the two words is the head's."""
    entity: list[dict[str, Any]] = []
    for i, name in enumerate(tags.entity_tags):
        kind = tags.entity_of(i)[1]
        entity.append({"name": name, "short": name[0] if kind else "", "colour": colours.get(("entity", kind))})
    relation: list[dict[str, Any]] = []
    for i, name in enumerate(tags.relation_tags):
        found = tags.relation_of(i)
        if found is None:
            relation.append({"name": name, "arrow": "", "colour": None})
            continue
        kind, direction = found
        arrow = "—" if kind in tags.schema.symmetric else "→" if direction == "right" else "←"
        relation.append({"name": kind, "arrow": arrow, "colour": colours.get(("relation", kind))})
    return {"entity": entity, "relation": relation}


def _thousandths(values: Floats) -> list[int]:
    return [int(v) for v in np.rint(1000 * values)]
