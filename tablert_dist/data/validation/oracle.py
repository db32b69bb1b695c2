"""The oracle: what a head can hold of the data, and the F1 of a model that says all of it and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from tablert_dist.config import ModelConfig
from tablert_dist.data.validation.finding import Case, SplitPart
from tablert_dist.heads.base import Scheme
from tablert_dist.heads.table_encoding import TableLoss
from tablert_dist.schema import Sentence
from tablert_dist.scoring import LEVELS, Counts, count
from tablert_dist.tags import TagSet

WIDEST = "spert"
"""The head that holds several relations on a pair, and overlapping entities."""


def table_loss(case: Case, part: SplitPart) -> dict[str, Any]:
    """`loss` (TableLoss) and by level the F1 (0–1) of a model that says all that its head can hold."""
    loss, counts = held(case, part.sentences)
    scores = counts.scores()
    return {"loss": loss} | {level: scores.f1(level) for level in LEVELS}


def held(case: Case, sentences: Sequence[Sentence]) -> tuple[TableLoss, Counts]:
    """What the head of the case loses of these sentences, and the counts of all that it holds against them."""
    return fitted(case.scheme, case.tags, sentences)


def fitted(scheme: Scheme, tags: TagSet, sentences: Sequence[Sentence]) -> tuple[TableLoss, Counts]:
    """What a head's scheme loses of these sentences, and the counts of all that it holds against them."""
    found = [scheme.representable(s, tags) for s in sentences]
    pairs = ((gold, fits) for gold, (fits, _) in zip(sentences, found, strict=True))
    return sum((lost for _, lost in found), TableLoss()), count(pairs, tags.schema)


def with_symmetric(case: Case, types: Collection[str]) -> Case:
    """The case as if these types were declared symmetric too."""
    return replace(case, schema=replace(case.schema, symmetric=case.schema.symmetric | set(types)))


def with_head(case: Case, name: str) -> Case:
    """The case for another head, otherwise configured as it is."""
    return replace(case, model=ModelConfig.model_validate({**case.model.model_dump(), "head": name}))
