"""Prediction on a cluster in three stages, so that a GPU only computes: cut lines on CPUs, read pieces, put together."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tablert_dist.config import PredictConfig
from tablert_dist.inference.arriving import decoded
from tablert_dist.inference.jsonl import Numbered, Planned, plan_lines, predict_lines, read_planned, results
from tablert_dist.inference.pieces import Plan
from tablert_dist.inference.pipeline import in_order

Columns = dict[str, Any]
"""A batch of Ray Data: arrays by name, a row for each part of the file (`offset`, `first` line, `count` lines)."""


def lines_of(source: Path, parts: Columns) -> Iterator[Numbered]:
    """The numbered lines of each part."""
    with source.open("rb") as file:
        for offset, first, count in zip(parts["offset"], parts["first"], parts["count"], strict=True):
            file.seek(int(offset))
            yield list(enumerate((decoded(file.readline()) for _ in range(int(count))), int(first)))


class Reader:
    """An actor that holds the model and does all of it: parts of the file in, their results as `json`, one a line."""

    def __init__(self, model: str, source: str, config: dict[str, Any]) -> None:
        self.predictor = _predictor(model, config)
        self.source = Path(source)

    def __call__(self, parts: Columns) -> Columns:
        """One part after the other."""
        found = [predict_lines(self.predictor, lines) for lines in lines_of(self.source, parts)]
        return {"json": [json.dumps(result) for part in found for result in part]}


class Cutter:
    """The first stage, an actor with the model's tokenizer alone: parts of the file in, what the model reads as `planned`."""

    def __init__(self, model: str, source: str, config: dict[str, Any]) -> None:
        from tablert_dist.inference.loading import load_planner

        self.planner = load_planner(Path(model), PredictConfig.model_validate(config, strict=False))
        self.source = Path(source)

    def __call__(self, parts: Columns) -> Columns:
        """One part after the other."""
        return {"planned": _packed(plan_lines(self.planner, lines) for lines in lines_of(self.source, parts))}


class PieceReader:
    """The second stage, an actor with the model: `planned` in, what was found as `found`."""

    def __init__(self, model: str, config: dict[str, Any]) -> None:
        self.predictor = _predictor(model, config)

    def __call__(self, batch: Columns) -> Columns:
        """Part by part; where the engine likes two at once, one is decoded while another is computed."""
        parts = map(pickle.loads, batch["planned"])
        return {"found": _packed(in_order(parts, [self._read] * self.predictor.engine.at_once))}

    def _read(self, planned: Planned) -> Any:
        found = read_planned(self.predictor, planned)
        # What the model has read is not needed any more, and most of what would travel.
        texts, words = (
            {n: _without_pieces(plan) for n, plan in plans.items()} for plans in (planned.texts, planned.words)
        )
        symmetric, rules = self.predictor.tags.schema.symmetric, self.predictor.scheme.rules
        return Planned(texts, words, planned.errors), found, symmetric, rules


def put_together(batch: Columns) -> Columns:
    """The third stage, a function: `found` in, results as `json`, one a line."""
    return {"json": [json.dumps(result) for part in batch["found"] for result in results(*pickle.loads(part))]}


def _predictor(model: str, config: dict[str, Any]) -> Any:
    from tablert_dist.inference.predictor import Predictor

    return Predictor.load(model, PredictConfig.model_validate(config, strict=False))


def _without_pieces(plan: Plan) -> Plan:
    return replace(plan, pieces=())


def _packed(parts: Iterator[Any]) -> Any:
    found = [pickle.dumps(part) for part in parts]
    column = np.empty(len(found), object)
    column[:] = found
    return column
