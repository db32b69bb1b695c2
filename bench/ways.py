"""The ways to compute one training step on a CPU, in turns on the same batches: padded or packed, MKL or oneDNN, sizes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import click
import torch

from bench.options import TINY, UnavailableError, data_option, encoder_option, smoke_option
from bench.parts import bench_config, model_and_examples
from bench.timing import report
from tablert_dist.batching import training_batches
from tablert_dist.cpu import gemm, keep_pages, packing, table
from tablert_dist.model import TableModel
from tablert_dist.train.context import TrainContext
from tablert_dist.train.step import backward
from tablert_dist.train.trainer import make_optimizer

SKIPPED = 3


@dataclass(frozen=True)
class Way:
    """`step`: rows are filled up to a multiple of it; 1 leaves them."""

    packed: bool
    onednn: bool
    step: int = 1

    @contextmanager
    def chosen(self, model: TableModel) -> Iterator[None]:
        """Make the package compute this way inside the context."""

        def spare(rows: int) -> int:
            return -rows % self.step

        with (
            mock.patch.object(model.encoder, "packs", self.packed),
            mock.patch.object(gemm, "onednn_is_faster", lambda: self.onednn),
            mock.patch.object(packing, "spare_rows", spare),
            mock.patch.object(table, "spare_rows", spare),
        ):
            yield


WAYS = {
    "padded_mkl": Way(False, False),
    "packed_mkl": Way(True, False),
    "packed_onednn": Way(True, True),
    "packed_onednn_16": Way(True, True, 16),
    "packed_onednn_32": Way(True, True, 32),
}


@click.command()
@smoke_option(**TINY, batches=1)
@encoder_option
@data_option
@click.option("--batches", default=40, show_default=True)
def main(encoder: str, data: str, batches: int) -> None:
    """`ratio` is padded with MKL over what is built in. Kernels of new sizes are compiled as in training."""
    if not gemm._works():
        raise UnavailableError("this torch has no oneDNN")
    keep_pages()
    config = bench_config(data__path=data)
    model, train, tags = model_and_examples(config, encoder)
    model.train()
    optimizer = make_optimizer(model, model, config.optim, TrainContext().device)
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for batch in training_batches(train.features.lengths, config.train.batch_size, False, 1, 0)[: batches + SKIPPED]:
        for name, way in WAYS.items():
            with way.chosen(model):
                started = time.perf_counter()
                backward(model, train, batch, tags, grouped=not way.packed)
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip_norm)
                optimizer.step()
                optimizer.zero_grad()
                times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(found[SKIPPED:]) for name, found in times.items()}
    slow, fast = medians["padded_mkl"], medians["packed_onednn_16"]
    steps = {f"{name}_ms": round(1000 * seconds, 1) for name, seconds in medians.items()}
    report("ways", {"ratio": round(slow / fast, 2), "slow_s": round(slow, 4), "fast_s": round(fast, 4), **steps})


if __name__ == "__main__":
    main()
