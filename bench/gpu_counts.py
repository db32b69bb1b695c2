"""What a training step on the GPU's path asks of a card, counted on a CPU: waits, casts, operators, shapes."""

from __future__ import annotations

from typing import Any

import torch

from bench.gpu_setup import Setup, setup
from bench.operators import Counts, count, refused_by_fake_tensors
from tablert_dist.gpu import gpu_path
from tablert_dist.train.context import TrainContext
from tablert_dist.train.step import targets_of
from tablert_dist.train.trainer import make_trainer

BATCH = 8


def counts(shape: str, data: str, head: str = "conll04") -> dict[str, Any]:
    """Return the figures of one step on BATCH sentences, under bf16 autocast, and the shapes of an epoch's batches.

    `host_syncs`: waits for the device, by either witness (bench/operators.py). `host_copies`: arrays that the host sends;
    no more than `arrays_of_a_batch`, which go through pinned memory while the device computes. `weight_casts`: copies of
    weights to another type. `recorded_ops`: operators forward and backward, without views, that one CUDA graph launches
    (a bare BertModel of 12 layers makes 874 in fp32); `eager_ops`: those of the whole step that the host launches one by
    one: copies of the batch, clipping and the optimiser.
    """
    with gpu_path():
        made = setup(shape, data, head=head)
        shapes = shapes_per_epoch(made)
        half, full = (_step(made, precision) for precision in (torch.bfloat16, None))
        refusal = refused_by_fake_tensors(lambda: _stepper(setup(shape, data, head=head), torch.bfloat16))
    if refusal:
        print(f"with fake tensors: {refusal}")
    for name, times in half.waits.items():
        print(f"waits: {name} × {times}")
    return {
        "ratio": round(half.operators / full.operators, 2),
        "host_syncs": sum(half.waits.values()) + sum(full.waits.values()) + bool(refusal),
        "host_copies": half.host_copies,
        "arrays_of_a_batch": _arrays(made),
        "weight_casts": half.weight_casts,
        "eager_ops": half.launched,
        "recorded_ops": half.operators - half.launched,
        "recorded_ops_fp32": full.operators - full.launched,
        "shapes_per_epoch": shapes,
    }


def shapes_per_epoch(made: Setup, size: int = BATCH) -> int:
    """Return how many different input shapes an epoch has: for each new one a GPU's libraries choose kernels."""
    trainer = make_trainer(made.model, made.train, made.config, 1)
    batches = made.batches(size, 10**9, made.config.train.bucket)
    steps = (trainer.prepare(made.train, batch, made.tags, (1, 0)) for batch in batches)
    return len({tuple(x.shape for x in piece.inputs) for step in steps for piece in step.pieces})


def _arrays(made: Setup) -> int:
    """Inputs and targets of a batch."""
    batch, cpu = made.batches(BATCH, 1, False)[0], torch.device("cpu")
    targets = targets_of(made.model.head, made.train, batch, made.tags, (1, 0))
    return len(made.train.features.inputs(batch, cpu)) + len(targets)


def _step(made: Setup, precision: torch.dtype | None) -> Counts:
    step = _stepper(made, precision)
    step()
    return count(step, made.model)


def _stepper(made: Setup, precision: torch.dtype | None) -> Any:
    trainer = make_trainer(made.model, made.train, made.config, 1, TrainContext(autocast=precision))
    made.model.trainable.train()
    batch = made.batches(BATCH, 1, False)[0]
    return lambda: trainer.step(made.train, batch, made.tags, 1.0, (1, 0))
