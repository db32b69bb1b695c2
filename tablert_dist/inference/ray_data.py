"""A file of lines through Ray Data: readers on every node, results in the order of the lines, memory bounded."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tablert_dist.cluster import connect
from tablert_dist.config import Config
from tablert_dist.errors import InputError
from tablert_dist.inference.constraining import from_anywhere
from tablert_dist.inference.jsonl import Answer
from tablert_dist.inference.ray_stages import Cutter, PieceReader, Reader, put_together

BATCH = 256
"""Lines of a part."""
PARTS_AT_ONCE = 4
"""Parts in one call of an actor that may have two in hand."""


def predict_file(model: Path, source: Path, config: Config, staged: bool | None = None) -> Iterator[list[Answer]]:
    """Answers to a file's lines, in their order, a batch at a time. Every node must see `model` and `source`.

    `staged`: in three stages, of which the one in the middle has the model; unset: on GPUs. Otherwise whole readers, one a
    CPU. Raises InputError where the file or a cluster is missing.
    """
    if not source.is_file():
        raise InputError(f"{source}: no such file")
    ray = connect(config, show_workers=False)
    resources = ray.cluster_resources()
    from ray import data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    parts = list(_parts(source))
    if not parts:
        return
    chain = _in_stages if (_on_gpu(config) if staged is None else staged) else _whole
    dataset = data.from_items(parts, override_num_blocks=len(parts))
    for batch in chain(dataset, model.resolve(), source.resolve(), config, resources).iter_batches(batch_size=BATCH):
        yield [Answer.of(json.loads(text)) for text in batch["json"]]


def _whole(dataset: Any, model: Path, source: Path, config: Config, resources: dict[str, float]) -> Any:
    """A reader on each CPU but one, which Ray Data has."""
    return dataset.map_batches(
        Reader,
        fn_constructor_args=(str(model), str(source), _settings(config)),
        batch_size=1,
        concurrency=(1, max(1, int(resources.get("CPU", 0)) - 1)),
        num_cpus=1,
    )


def _in_stages(dataset: Any, model: Path, source: Path, config: Config, resources: dict[str, float]) -> Any:
    """Lines are cut on CPUs, read by an actor on each GPU, and put together on CPUs."""
    settings = _settings(config)
    on_gpu = _on_gpu(config)
    cpus, gpus = resources.get("CPU", 1.0), int(resources.get("GPU", 0))
    # Parts of a CPU where there are few: actors keep theirs, and the last stage's tasks must have room beside them.
    share = min(1.0, cpus / 4)
    cut = dataset.map_batches(
        Cutter,
        fn_constructor_args=(str(model), str(source), settings),
        batch_size=1,
        concurrency=(1, max(1, int(cpus / share) // 2)),
        num_cpus=share,
    )
    read = cut.map_batches(
        PieceReader,
        fn_constructor_args=(str(model), settings),
        batch_size=PARTS_AT_ONCE,
        concurrency=(1, max(1, gpus if on_gpu else 1)),
        **({"num_gpus": 1} if on_gpu else {"num_cpus": share}),
    )
    return read.map_batches(put_together, batch_size=1, num_cpus=share)


def _on_gpu(config: Config) -> bool:
    return config.predict.provider == "cuda"


def _settings(config: Config) -> dict[str, Any]:
    predict = from_anywhere(config.predict).model_dump(mode="json")
    if not _on_gpu(config):
        predict["threads"] = predict["threads"] or 1
    return predict


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
