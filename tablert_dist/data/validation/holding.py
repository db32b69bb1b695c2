"""What each head could hold of the data, and what every cause costs it: to choose a head by (docs/guides/heads.md)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tablert_dist.data.validation.finding import Case, SplitPart
from tablert_dist.data.validation.oracle import fitted, with_head
from tablert_dist.heads.registry import HEADS
from tablert_dist.heads.table_encoding import TableLoss
from tablert_dist.schema import distinct
from tablert_dist.scoring import LEVELS

NESTING = "entities"


def by_head(case: Case, part: SplitPart) -> list[dict[str, Any]]:
    """One entry for the heads that hold the same of a split, the narrowest first.

    `heads`: their names. `lost`: counts by cause, the fields of `TableLoss`. `best_f1`: by level the F1 (0–1) of a model
    that says all that they can hold. `costs`: by cause the F1 that it takes away by itself, of NER for entities that
    overlap, of RE+ for what it takes of the relations.
    """
    found: list[dict[str, Any]] = []
    entities = sum(len(set(s.entities)) for s in part.sentences)
    relations = sum(len(distinct(s.relations, case.schema.symmetric)) for s in part.sentences)
    for name in HEADS:
        loss, counts = fitted(with_head(case, name).scheme, case.tags, part.sentences)
        lost = asdict(loss)
        alike = next((entry for entry in found if entry["lost"] == lost), None)
        if alike:
            alike["heads"].append(name)
            continue
        scores = counts.scores()
        best = {level: scores.f1(level) for level in LEVELS}
        found.append({"heads": [name], "lost": lost, "best_f1": best, "costs": _costs(loss, entities, relations)})
    return found


def _costs(loss: TableLoss, entities: int, relations: int) -> dict[str, dict[str, float]]:
    of_relations = {
        "entities": loss.of_lost_entities,
        "several": loss.same_pair + loss.two_way,
        "self": loss.self_relations,
    }
    costs = {cause: {"re_plus": _cost(lost, relations)} for cause, lost in of_relations.items() if lost}
    if loss.entities:
        costs.setdefault(NESTING, {})["ner"] = _cost(loss.entities, entities)
    return costs


def _cost(lost: int, total: int) -> float:
    """1 - F1 of a model that says all but `lost` of `total`, and nothing else."""
    return 1 - 2 * (total - lost) / (2 * total - lost)
