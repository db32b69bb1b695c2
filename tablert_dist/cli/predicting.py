"""The ways of `tablert predict` through a file: threads, processes, a cluster. Each gives answers in the order of the lines."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from tablert_dist.cli.output import Lines, Place
from tablert_dist.config import Config, PredictConfig
from tablert_dist.inference.arriving import parts, read_lines
from tablert_dist.inference.jsonl import Answer, Numbered, plan_lines, read_planned, results
from tablert_dist.inference.pipeline import in_order
from tablert_dist.inference.predictor import Predictor
from tablert_dist.inference.processes import ReaderProcess, reader_processes

Part = tuple[Place | None, Sequence[Answer]]
"""Answers, and how far the input was read for them."""
Ways = Generator[Part, None, None]


def numbered_parts(file: BinaryIO, done: int) -> Iterator[tuple[Place, Numbered]]:
    """The lines after the first `done`, in parts; with each, how far the file is read with it."""
    lines, number = Lines(), done + 1
    if done:
        lines.after(itertools.islice(read_lines(file), done))
    for part in parts(file):
        yield lines.after(part), list(enumerate(part, number))
        number += len(part)


def by_threads(model: Path, config: PredictConfig, file: BinaryIO, done: int) -> Ways:
    """Read and cut one part while the model reads another and a third is written."""
    predictor = Predictor.load(model, config)
    planned = ((place, plan_lines(predictor.planner, lines)) for place, lines in numbered_parts(file, done))

    def read(item: tuple[Place, Any]) -> tuple[Place, Any, Any]:
        return *item, read_planned(predictor, item[1])

    symmetric, rules = predictor.tags.schema.symmetric, predictor.scheme.rules
    for place, plan, found in in_order(planned, [read] * predictor.engine.at_once):
        yield place, list(map(Answer.of, results(plan, found, symmetric, rules)))


def by_processes(model: Path, config: PredictConfig, count: int, file: BinaryIO, done: int) -> Ways:
    """Whole readers in processes, each with a part in hand."""

    def worker(process: ReaderProcess) -> Any:
        return lambda item: (item[0], process(item[1]))

    with reader_processes(model, config, count) as readers:

        def end() -> None:
            for reader in readers:
                reader.end()

        yield from in_order(numbered_parts(file, done), list(map(worker, readers)), count, end)


def on_cluster(model: Path, source: Path, config: Config) -> Ways:
    """Readers on a Ray cluster."""
    from tablert_dist.inference.ray_data import predict_file

    for answers in predict_file(model, source, config):
        yield None, answers
