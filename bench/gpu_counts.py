"""What a training step on the GPU's path asks of a card, counted on a CPU: waits, casts, operators, shapes."""

from __future__ import annotations

from typing import Any

import torch

from bench.gpu_setup import Setup, setup
from bench.operators import Counts, count, refused_by_fake_tensors
from tablert_dist.gpu import gpu_path
from tablert_dist.train.context import TrainContext
from tablert_dist.train.step import backward, targets_of
from tablert_dist.train.trainer import Trainer

BATCH = 8


def counts(shape: str, data: str, head: str = "conll04") -> dict[str, Any]:
    """Return the figures of one step on BATCH sentences, under bf16 autocast, and the shapes of an epoch's batches.

    `host_syncs`: waits for the device, by either witness (bench/operators.py). `host_copies`: arrays that the host sends;
    no more than `arrays_of_a_batch`, which go through pinned memory while the device computes. `weight_casts`: copies of
    weights to another type. `eager_ops`: operators forward and backward, without views; a bare BertModel of 12 layers
    makes 874 in fp32.
    """
    with gpu_path():
        made = setup(shape, data, head=head)
        half, full = (_step(made, precision) for precision in (torch.bfloat16, None))
        passes = {name: _pass(made, precision) for name, precision in (("bf16", torch.bfloat16), ("fp32", None))}
        refusal = refused_by_fake_tensors(lambda: _stepper(setup(shape, data, head=head), torch.bfloat16))
    if refusal:
        print(f"with fake tensors: {refusal}")
    for name, times in half.waits.items():
        print(f"waits: {name} × {times}")
    return {
        "ratio": round(passes["bf16"] / passes["fp32"], 2),
        "host_syncs": sum(half.waits.values()) + sum(full.waits.values()) + bool(refusal),
        "host_copies": half.host_copies,
        "arrays_of_a_batch": _arrays(made),
        "weight_casts": half.weight_casts,
        "eager_ops": passes["bf16"],
        "eager_ops_fp32": passes["fp32"],
        "shapes_per_epoch": shapes_per_epoch(made),
    }


def shapes_per_epoch(made: Setup, size: int = BATCH) -> int:
    """Return how many different input shapes an epoch has: for each new one a GPU's libraries choose kernels."""
    batches = made.batches(size, 10**9, made.config.train.bucket)
    cpu = torch.device("cpu")
    return len({tuple(x.shape for x in made.train.features.inputs(batch, cpu)) for batch in batches})


def _arrays(made: Setup) -> int:
    """Inputs and targets of a batch."""
    batch, cpu = made.batches(BATCH, 1, False)[0], torch.device("cpu")
    targets = targets_of(made.model.head, made.train, batch, made.tags, (1, 0))
    return len(made.train.features.inputs(batch, cpu)) + len(targets)


def _step(made: Setup, precision: torch.dtype | None) -> Counts:
    step = _stepper(made, precision)
    step()
    return count(step, made.model)


def _pass(made: Setup, precision: torch.dtype | None) -> int:
    """Operators of a pass forward and backward alone."""
    batch, context = made.batches(BATCH, 1, False)[0], TrainContext(autocast=precision)

    def work() -> None:
        backward(made.model, made.train, batch, made.tags, 1, context)

    work()
    # As after the optimiser's step: gradients that are there would be added to.
    made.model.zero_grad()
    return count(work, made.model).operators


def _stepper(made: Setup, precision: torch.dtype | None) -> Any:
    trainer = Trainer(made.model, made.config, TrainContext(autocast=precision))
    made.model.trainable.train()
    batch = made.batches(BATCH, 1, False)[0]
    return lambda: trainer.step(made.train, batch, made.tags, 1.0, (1, 0))
