"""`predict.min_entity`, `predict.min_relation` and `predict.thresholds`: what is below them is left out, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tablert_dist import load
from tablert_dist.config import PredictConfig
from tablert_dist.inference.predictor import Predictor
from tablert_dist.schema import Relation, Sentence
from tests.support.tiny import WORDS, write_tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tiny_encoder, tmp_path_factory.mktemp("sure") / "checkpoint")


@pytest.fixture(scope="module")
def everything(checkpoint: Path) -> list[Sentence]:
    return Predictor.load(checkpoint).annotate(TEXTS)


TEXTS = [[WORDS[(i * 5 + j * 7) % len(WORDS)] for j in range(4 + i % 6)] for i in range(20)]
Least = Callable[[Relation], float]


def kept(found: list[Sentence], least: Least) -> list[list[Relation]]:
    return [[r for r in s.relations if (r.probability or 0.0) >= least(r)] for s in found]


def relations(found: list[Sentence]) -> list[list[Relation]]:
    return [list(s.relations) for s in found]


def test_relations_below_the_least_probability_are_left_out_and_no_entity(
    checkpoint: Path, everything: list[Sentence]
) -> None:
    sure = sorted(r.probability or 0.0 for s in everything for r in s.relations)
    least = float(np.median(sure))
    assert len(sure) >= 20 and sure[0] < least < sure[-1]
    expected = kept(everything, lambda r: least)
    by_config = Predictor.load(checkpoint, PredictConfig(min_relation=least)).annotate(TEXTS)
    by_call = load(checkpoint, provider="cpu", min_relation=least)
    for found in (by_config, by_call.annotate(TEXTS)):
        assert relations(found) == expected
        assert [s.entities for s in found] == [s.entities for s in everything]


def test_a_types_own_threshold_counts_where_it_is_higher(checkpoint: Path, everything: list[Sentence]) -> None:
    values: dict[str, Any] = {"min_relation": 0.5, "thresholds": {"works": 0.7, "near": 0.2}}
    found = Predictor.load(checkpoint, PredictConfig(**values)).annotate(TEXTS)
    assert relations(found) == kept(everything, lambda r: 0.7 if r.type == "works" else 0.5)
