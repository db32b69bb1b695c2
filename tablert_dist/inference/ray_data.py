"""A file of lines through Ray Data: readers on every node, results in the order of the lines, memory bounded."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tablert_dist.cluster import connect
from tablert_dist.config import Config, PredictConfig
from tablert_dist.errors import InputError
from tablert_dist.inference.jsonl import Answer

BATCH = 256


class Reader:
    """An actor that holds the model: a part of the file in (`offset`, `first` line, `count`), its results as `json`."""

    def __init__(self, model: str, source: str, config: dict[str, Any]) -> None:
        from tablert_dist.inference.predictor import Predictor

        self.predictor = Predictor.load(model, PredictConfig.model_validate(config, strict=False))
        self.source = Path(source)

    def __call__(self, parts: dict[str, Any]) -> dict[str, Any]:
        """One part after the other."""
        from tablert_dist.inference.arriving import decoded
        from tablert_dist.inference.jsonl import predict_lines

        results = []
        with self.source.open("rb") as file:
            for offset, first, count in zip(parts["offset"], parts["first"], parts["count"], strict=True):
                file.seek(int(offset))
                lines = [decoded(file.readline()) for _ in range(int(count))]
                results += [
                    json.dumps(found) for found in predict_lines(self.predictor, list(enumerate(lines, int(first))))
                ]
        return {"json": results}


def predict_file(model: Path, source: Path, config: Config) -> Iterator[list[Answer]]:
    """Results of a file's lines, in their order, a batch at a time. Every node must see `model` and `source`.

    Raises InputError where the file or a cluster is missing.
    """
    if not source.is_file():
        raise InputError(f"{source}: no such file")
    ray = connect(config, show_workers=False)
    resources = ray.cluster_resources()
    on_gpu = config.predict.provider in {"cuda", "tensorrt"}
    readers = int(resources.get("GPU" if on_gpu else "CPU", 0)) - (0 if on_gpu else 1)
    predict = config.predict.model_dump(mode="json")
    if not on_gpu:
        predict["threads"] = predict["threads"] or 1
    from ray import data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    parts = list(_parts(source))
    if not parts:
        return
    results = data.from_items(parts, override_num_blocks=len(parts)).map_batches(
        Reader,
        fn_constructor_args=(str(model.resolve()), str(source.resolve()), predict),
        batch_size=1,
        concurrency=(1, max(1, readers)),
        num_cpus=None if on_gpu else 1,
        num_gpus=1 if on_gpu else None,
    )
    for batch in results.iter_batches(batch_size=BATCH):
        yield [Answer.of(json.loads(text)) for text in batch["json"]]


def _parts(source: Path) -> Iterator[dict[str, int]]:
    """Where each batch of lines begins: sent to the readers instead of the lines."""
    with source.open("rb") as file:
        offset, first, count = 0, 1, 0
        at = 0
        for line in file:
            count += 1
            at += len(line)
            if count == BATCH:
                yield {"offset": offset, "first": first, "count": count}
                offset, first, count = at, first + count, 0
        if count:
            yield {"offset": offset, "first": first, "count": count}
