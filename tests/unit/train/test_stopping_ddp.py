"""Two workers over gloo, one of which is asked to end: both do after the same step, and go on with the same bits."""

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
from tablert_dist.train import loop
from tablert_dist.train.context import TrainContext
from tablert_dist.train.loop import train_epochs
from tablert_dist.train.position import Position
from tests.support.paths import made
from tests.support.tiny import write_tiny_encoder
from tests.unit.train.test_loop import TAGS, torch_copy, weights
from tests.unit.train.test_stopping import AfterSteps

CPU, GPU = "the CPU's path", "the GPU's path"
OPTIONS = {"train.batch_size": 2, "train.epochs": 6, "train.average": 0.9}
"""6 steps an epoch, with dropout."""


def trained(folder: Path, rank: int, way: str) -> dict[str, Any]:
    context = TrainContext(rank, 2)
    encoder = str(folder / "encoder")
    model, train, config = made(encoder, folder / f"data{rank}", **OPTIONS)
    whole = [r.loss_per_sentence for r in train_epochs(model, train, TAGS, config, 1, context)]
    calm = weights(model)
    model, train, config = made(encoder, folder / f"data{rank}", **OPTIONS)
    # On the GPU's path only a step that is read is told.
    stop = AfterSteps((2 if way == GPU else 9) if rank == 1 else 10**6)
    losses, position = [], None
    for report in train_epochs(model, train, TAGS, config, 1, context, progress=stop.step, stop=stop):
        if isinstance(report, Position):
            position = report
            break
        losses.append(report.loss_per_sentence)
    assert position is not None
    state, saved = torch_copy(position.state()), weights(model)
    model, train, config = made(encoder, folder / f"data{rank}", **OPTIONS)
    model.load_state_dict(saved)
    again = Position.of(state)
    assert again is not None and again.mismatch(context) is None and again.mismatch(TrainContext()) is not None
    losses += [
        r.loss_per_sentence
        for r in train_epochs(model, train, TAGS, config, 1, context, state["optimizer"], again.epoch, start=again)
    ]
    same = all(torch.equal(value, weights(model)[name]) for name, value in calm.items())
    return {"at": (position.epoch, position.step), "same": same, "whole": whole, "losses": losses}


def _rank(rank: int, port: int, folder: str, way: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    loop.STEPS_A_READ = 4
    with gpu_path() if way == GPU else nullcontext():
        found = trained(Path(folder), rank, way)
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    os._exit(0)


@pytest.mark.parametrize("way", [CPU, GPU])
def test_both_end_after_the_same_step(way: str, tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    write_tiny_encoder(tmp_path / "encoder")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(_rank, (port, str(tmp_path), way), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2))
    assert one["at"] == two["at"]
    assert one["same"] and two["same"], "the same bits as without the stop"
    assert one["losses"] == one["whole"]
    # The step after the one in which it was asked, or the next one that is read: nothing waits in between.
    assert one["at"] == ((2, 4) if way == GPU else (1, 4))
