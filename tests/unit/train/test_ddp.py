"""Several workers over gloo, on the CPU's path and the GPU's: they make the step of one, also when their number changes."""

from __future__ import annotations

import os
import socket
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import multiprocessing

from tablert_dist.gpu import gpu_path
from tablert_dist.train.context import TrainContext
from tablert_dist.train.evaluation import evaluate
from tablert_dist.train.loop import train_epochs
from tests.support.paths import distance, made, one_step
from tests.support.tiny import write_tiny_encoder
from tests.unit.train.test_loop import TAGS, torch_copy, weights

ROUNDING = 2**-8
FULL = {"the CPU's path", "fp32", "tags from the hidden layer"}
# Batches of 5, 5 and 2: two workers take 3 and 2, then 1 and 1; three take 2, 2 and 1, then 1, 1 and nothing.
ON_CPU = "the CPU's path"
CASES: dict[str, dict[str, Any]] = {
    ON_CPU: {},
    "fp32": {},
    "bf16": {"train.precision": "bf16"},
    "accumulation": {"train.precision": "bf16", "train.accumulation": 2},
    "tags from the hidden layer": {"model.cnn.entity_from": "hidden", "model.cnn.hidden": [16]},
    "checkpointing": {"train.precision": "bf16", "model.gradient_checkpointing": True},
    "frozen": {"train.precision": "bf16", "model.frozen": True},
}


def context_of(case: str, rank: int = 0, world: int = 1) -> TrainContext:
    half = CASES[case].get("train.precision") == "bf16"
    return TrainContext(rank, world, autocast=torch.bfloat16 if half else None)


def run(case: str, encoder: str, folder: Path, first: int, end: int, state: Any, rank: int = 0, world: int = 1) -> Any:
    """Epochs first … end of the training, from a saved state, by one of several workers; the first step's gradients."""
    with nullcontext() if case == ON_CPU else gpu_path():
        return _run(case, encoder, folder, first, end, state, rank, world)


def _run(case: str, encoder: str, folder: Path, first: int, end: int, state: Any, rank: int, world: int) -> Any:
    overrides = {**CASES[case], "model.dropout": 0.0, "train.batch_size": 5, "train.epochs": 3}
    context = context_of(case, rank, world)
    found: dict[str, Any] = {}
    if first == 0:
        taken = one_step(*made(encoder, folder, **overrides), context)
        loss = torch.tensor(taken.loss)
        if world > 1:
            torch.distributed.all_reduce(loss)
        found |= {"step_loss": float(loss), "norm": taken.norm, "gradients": taken.gradients}
    model, train, config = made(encoder, folder, **overrides)
    if state:
        model.load_state_dict(state["weights"])
    for report in train_epochs(model, train, TAGS, config, 1, context, state["optimizer"] if state else None, first):
        counts = evaluate(model, train, TAGS, 100, context)
        if report.epoch + 1 == end:
            break
    optimizer = torch_copy(report.optimizer_state())
    return found | {
        "weights": weights(model), "optimizer": optimizer, "loss": report.loss_per_sentence,
        "support": int(counts.table.sum(0)[..., 1:].sum()), "sentences": report.sentences,
    }  # fmt: skip


def _rank(rank: int, world: int, port: int, folder: str, first: int, end: int, before: str, out: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=world)
    states = torch.load(before, weights_only=False) if before else dict.fromkeys(CASES)
    found = {
        case: run(case, f"{folder}/encoder", Path(folder) / f"data{rank}", first, end, states[case], rank, world)
        for case in CASES
    }
    if rank == 0:
        torch.save(found, out)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    # gloo's threads abort the interpreter's exit now and then ("terminate called without an active exception").
    os._exit(0)


def spawn(world: int, folder: Path, first: int, end: int, before: str = "") -> dict[str, Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = str(folder / f"after-{end}.pt")
    multiprocessing.spawn(_rank, (world, port, str(folder), first, end, before, out), nprocs=world)
    found: dict[str, Any] = torch.load(out, weights_only=False)
    return found


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any, Any]:
    """By case: one worker after one epoch and after three; two workers after one, and three that went on from them."""
    folder = tmp_path_factory.mktemp("ddp")
    (folder / "encoder").mkdir()
    encoder = str(write_tiny_encoder(folder / "encoder"))
    early = {case: run(case, encoder, folder / "data", 0, 1, None) for case in CASES}
    late = {case: run(case, encoder, folder / "data", 1, 3, early[case]) for case in CASES}
    two = spawn(2, folder, 0, 1)
    return early, late, two, spawn(3, folder, 1, 3, str(folder / "after-1.pt"))


@pytest.mark.parametrize("case", CASES)
def test_two_workers_make_the_step_of_one(case: str, trainings: Any) -> None:
    one, _, two, _ = trainings
    full = case in FULL
    assert two[case]["step_loss"] == pytest.approx(one[case]["step_loss"], rel=1e-6 if full else ROUNDING)
    assert two[case]["norm"] == pytest.approx(one[case]["norm"], rel=1e-6 if full else ROUNDING)
    assert distance(two[case]["gradients"], one[case]["gradients"]) < (1e-6 if full else 4 * ROUNDING)


@pytest.mark.parametrize("case", CASES)
def test_workers_that_come_and_go_train_as_one_would(case: str, trainings: Any) -> None:
    one, late, two, three = trainings
    start = one[case]["weights"]
    for ours, theirs in ((one[case], two[case]), (late[case], three[case])):
        assert theirs["sentences"] == ours["sentences"] == 12
        assert theirs["support"] == ours["support"] or case not in FULL
        assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-4 if case in FULL else 2 * ROUNDING)
    moved = distance(late[case]["weights"], start)
    assert moved > 0.001, "the comparison is between trained models"
    assert distance(three[case]["weights"], late[case]["weights"]) < (1e-3 if case in FULL else 0.1) * moved
