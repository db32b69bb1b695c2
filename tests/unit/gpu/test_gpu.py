"""On a card: every head's step is the CPU's in both precisions, waits for nothing, and memory that runs out is survived.

Imports neither Ray nor MLflow. Without a card all of this is skipped; what can be shown there is in test_gpu_path.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tablert_dist.batching import CELLS
from tablert_dist.config import PredictConfig
from tablert_dist.errors import OutOfMemory, RunError
from tablert_dist.gpu import cells_on
from tablert_dist.heads.cnn.module import TableHead
from tablert_dist.inference.predictor import Predictor
from tablert_dist.train.context import TrainContext
from tablert_dist.train.evaluation import annotate
from tablert_dist.train.loop import train_epochs
from tablert_dist.train.trainer import Trainer, make_trainer
from tests.support.paths import BATCH, HEADS, distance, made, one_step
from tests.support.tiny import write_tiny_checkpoint
from tests.unit.train.test_loop import TAGS

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
CARD = torch.device("cuda")
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}
ROUNDING = {"fp32": 1e-5, "bf16": 2**-8}


@pytest.fixture(autouse=True)
def in_full() -> Iterator[None]:
    """Products in fp32 and not in TF32, which has three digits."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("hidden", [[], [64], [64, 32]])
def test_the_heads_logits_are_the_same(hidden: list[int]) -> None:
    torch.manual_seed(0)
    head = TableHead(48, 9, 5, hidden, 3).eval()
    words, mask = torch.randn(3, 30, 48), torch.arange(30)[None] < torch.tensor([30, 7, 1])[:, None]
    expected = head(words, mask)
    found = head.cuda()(words.cuda(), mask.cuda())
    cells = torch.triu(torch.ones(30, 30, dtype=torch.bool)) & mask[:, :, None] & mask[:, None, :]
    torch.testing.assert_close(found[0].cpu()[mask], expected[0][mask], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[1].cpu()[cells], expected[1][cells], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", HEADS)
def test_every_head_takes_the_cpus_step(name: str, precision: str, tiny_encoder: str, tmp_path: Path) -> None:
    def step(context: TrainContext) -> Any:
        model, train, config = made(tiny_encoder, tmp_path, **HEADS[name], **{"model.dropout": 0.0})
        return one_step(model.to(context.device), train, config, context)

    expected, found = step(TrainContext()), step(TrainContext(device=CARD, autocast=PRECISIONS[precision]))
    assert found.loss == pytest.approx(expected.loss, rel=ROUNDING[precision])
    assert found.norm == pytest.approx(expected.norm, rel=ROUNDING[precision])
    assert distance(found.gradients, expected.gradients) < 8 * ROUNDING[precision]
    assert found.found.keys() == expected.found.keys()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_never_waits(name: str, precision: str, checkpointing: bool, tiny_encoder: str, tmp_path: Path) -> None:
    """torch raises where a step would wait for the card; dropout on."""
    overrides = {**HEADS[name], "model.gradient_checkpointing": checkpointing}
    model, train, config = made(tiny_encoder, tmp_path, **overrides)
    model.to(CARD)
    trainer = Trainer(model, config, TrainContext(device=CARD, autocast=PRECISIONS[precision]))
    model.trainable.train()
    trainer.step(train, BATCH, TAGS, 1.0, (1, 0))
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss, norm, _ = trainer.step(train, BATCH, TAGS, 1.0, (1, 0))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert float(loss) > 0 and float(norm) > 0


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", [name for name in HEADS if name != "spert"])
def test_a_recorded_step_is_the_eager_one(name: str, precision: str, tiny_encoder: str, tmp_path: Path) -> None:
    """Dropout is on, and both pad alike: the graph draws what the operators draw, also when it is replayed again."""

    def losses(recorded: bool) -> list[float]:
        model, train, config = made(tiny_encoder, tmp_path, **HEADS[name])
        model.to(CARD)
        trainer = make_trainer(model, train, config, 1, TrainContext(device=CARD, autocast=PRECISIONS[precision]))
        assert trainer._recorded is not None
        trainer._recorded._gives_up = not recorded
        model.trainable.train()
        steps = [trainer.prepare(train, batch, TAGS, (1, 0)) for batch in (BATCH, BATCH, [0, 1, 2, 3, 4], BATCH)]
        assert sum(trainer.warm_up(step) for step in steps) > 0 or not recorded
        torch.manual_seed(7)
        torch.cuda.set_sync_debug_mode("error")
        try:
            taken = [trainer.take(step, 1.0) for step in steps]
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert not recorded or not trainer._recorded._gives_up, "recorded to the end"
        return [float(value) for loss, norm, _ in taken for value in (loss, norm)]

    assert losses(True) == pytest.approx(losses(False), rel=ROUNDING[precision])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_training_is_the_same_without_dropout(precision: str, tiny_encoder: str, tmp_path: Path) -> None:
    losses = []
    for context in (TrainContext(), TrainContext(device=CARD, autocast=PRECISIONS[precision])):
        model, train, config = made(tiny_encoder, tmp_path / context.device.type, **{"model.dropout": 0.0})
        reports = train_epochs(model.to(context.device), train, TAGS, config, 1, context)
        losses.append([r.loss_per_sentence for r in reports])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3 if precision == "fp32" else 1e-2)


@pytest.mark.parametrize("head", ["cnn", "tablert", "spert"])
def test_a_checkpoint_predicts_on_the_card_as_on_the_cpu(head: str, tiny_encoder: str, tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tiny_encoder, tmp_path / "c")
    texts = ["Ada works at Acme near Oslo .", "Bo .", "the harbour near Tromsø works ."]
    on_cpu, on_card = (Predictor.load(checkpoint, PredictConfig(provider=p)) for p in ("cpu", "cuda"))
    assert on_cpu.max_cells == CELLS < on_card.max_cells

    def spans(found: Any) -> Any:
        return [[(e.start, e.end, e.type) for e in f.sentence.entities] for f in found]

    assert spans(on_card.predict(texts)) == spans(on_cpu.predict(texts))


def test_memory_that_runs_out(tiny_encoder: str, tmp_path: Path) -> None:
    """A card with little memory: evaluation reads every sentence in smaller batches, a training says what to change."""
    wide = {"model.cnn.hidden": [65536], "model.dropout": 0.0}
    model, train, config = made(tiny_encoder, tmp_path, **wide)
    model.to(CARD)
    context = TrainContext(device=CARD)
    expected = annotate(model, train, TAGS, None, context)
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info()
    room = torch.cuda.memory_reserved() + 512 * 2**20
    torch.cuda.set_per_process_memory_fraction(room / total)
    try:
        assert annotate(model, train, TAGS, None, context).keys() == expected.keys()
        with pytest.raises(
            RunError, match=r"out of memory at epoch 1, step 1, on 5 sentences of up to \d+ words: set model"
        ):
            list(train_epochs(model, train, TAGS, config, 1, context))
        model.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 2**20) / total)
        with pytest.raises(OutOfMemory, match=r"on one sentence of \d+ words"):
            annotate(model, train, TAGS, None, context)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


def test_cells_follow_the_cards_memory() -> None:
    assert cells_on(CARD) > CELLS
    assert cells_on(CARD, 17) == 17
