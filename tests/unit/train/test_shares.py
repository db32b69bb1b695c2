"""A worker's share of a batch: its parts, pieces, targets and passes, each against what it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tablert_dist.gpu import Sizes
from tablert_dist.heads.spert.module import SpertHead
from tablert_dist.tags import IGNORE
from tablert_dist.train import step
from tablert_dist.train.context import TrainContext
from tablert_dist.train.step import (
    Piece,
    backward,
    head_of,
    inner_of,
    loss_of,
    pass_piece,
    pass_pieces,
    pieces_of,
    split_share,
    targets_of,
)
from tests.support.paths import BATCH, made
from tests.unit.train.test_loop import TAGS

OFF = {"model.dropout": 0.0}
CPU = torch.device("cpu")


def gradients(module: nn.Module) -> list[torch.Tensor]:
    found = [p.grad.clone() for p in module.parameters() if p.grad is not None]
    module.zero_grad()
    return found


def close(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    return all(torch.allclose(a, b, atol=1e-5, rtol=1e-4) for a, b in zip(ours, theirs, strict=True))


def test_a_share_is_split_by_length_longest_first() -> None:
    lengths = [3, 9, 1, 7, 5, 9]
    assert split_share([0, 1, 2, 3, 4, 5], lengths, 1) == [[1, 5, 3, 4, 0, 2]]
    assert split_share([0, 1, 2, 3, 4], lengths, 2) == [[1, 3, 4], [0, 2]]
    assert split_share([2, 4], lengths, 5) == [[4], [2]], "no more parts than sentences"
    assert split_share([], lengths, 2) == [] == split_share([], lengths, 2, grouped=True)
    assert split_share([0, 1, 2, 5], lengths, 1, grouped=True) == [[1, 5], [0], [2]], "each of similar length"
    assert split_share([0, 1, 2, 5], lengths, 2, grouped=True) == [[1, 5], [0], [2]]


def test_a_piece_keeps_the_order_of_its_tensors() -> None:
    ids, mask, tags, cells = (torch.full((2,), float(n)) for n in range(4))
    piece = Piece((ids, mask), {"entity_tags": tags, "relation_tags": cells}, 0.5)
    assert [float(t[0]) for t in piece.tensors()] == [0, 1, 2, 3]
    doubled = piece.replaced([t * 2 for t in piece.tensors()])
    assert [float(t[0]) for t in doubled.inputs] == [0, 2] and doubled.weight == 0.5
    assert {name: float(t[0]) for name, t in doubled.targets.items()} == {"entity_tags": 4, "relation_tags": 6}
    with pytest.raises(ValueError, match="shorter"):
        piece.replaced(piece.tensors()[:3])
    moved = piece.on(CPU)
    assert moved.tensors() == piece.tensors() and moved.weight == 0.5
    assert Piece((), {}).weight == 1.0


def test_pieces_are_the_parts_of_a_share_with_their_targets(tiny_encoder: str, tmp_path: Path) -> None:
    model, train, _ = made(tiny_encoder, tmp_path)
    pieces = pieces_of(head_of(model), train, BATCH, TAGS, 2)
    parts = split_share(BATCH, train.features.lengths, 2)
    assert len(pieces) == len(parts) == 2
    for piece, part in zip(pieces, parts, strict=True):
        expected = train.features.host(part)
        assert all(torch.equal(a, b) for a, b in zip(piece.inputs, expected, strict=True)) and piece.weight == 1.0
        assert piece.targets["entity_tags"].shape == (len(part), max(train.features.lengths[i] for i in part))
    (one,) = pieces_of(head_of(model), train, BATCH, TAGS)
    assert one.inputs[0].shape[0] == len(BATCH), "in one part by default"
    grouped = pieces_of(head_of(model), train, BATCH, TAGS, 1, grouped=True)
    assert [p.inputs[0].shape[0] for p in grouped] == [
        len(g) for g in split_share(BATCH, train.features.lengths, 1, True)
    ]
    (empty,) = pieces_of(head_of(model), train, [], TAGS, 3)
    assert empty.weight == 0.0 and empty.inputs[0].shape[0] == 1, "a rank with nothing runs one sentence for nothing"
    assert torch.equal(empty.inputs[0], train.features.host([0])[0])


def test_pieces_are_padded_to_the_sizes_that_they_are_given(tiny_encoder: str, tmp_path: Path) -> None:
    model, train, _ = made(tiny_encoder, tmp_path)
    own = train.features.sizes([0, 1])
    roomy = Sizes(own.words + 2, own.subwords + 3, own.pieces + 1, own.rows + 1)
    (piece,) = pieces_of(head_of(model), train, [0, 1], TAGS, sizes_of=lambda found: roomy if found == own else None)
    assert piece.inputs[0].shape == (roomy.rows, roomy.subwords)
    assert piece.targets["entity_tags"].shape == (roomy.rows, roomy.words)
    assert (piece.targets["entity_tags"][-1] == IGNORE).all()
    assert piece.targets["relation_tags"].shape == (roomy.rows, roomy.words, roomy.words)


def test_what_is_drawn_for_a_sentence_follows_from_the_key_and_its_index(tiny_encoder: str, tmp_path: Path) -> None:
    model, train, _ = made(tiny_encoder, tmp_path, **{"model.head": "spert", "model.spert.negatives": 3})
    head = head_of(model)

    def spans(indices: list[int], key: tuple[int, ...] = (0,)) -> list[Any]:
        found = targets_of(head, train, indices, TAGS, key)["spans"]
        return [row[row.sum(-1) > 0].tolist() for row in found]

    alone, together, reversed_ = spans([3]), spans([3, 7]), spans([7, 3])
    assert alone[0] == together[0] == reversed_[1] and together[1] == reversed_[0]
    assert spans([3], (1, 0)) != spans([3], (1, 1)) and spans([3], (1, 0)) == spans([3], (1, 0))
    twin = replace(train, sentences=[train.sentences[3]] * 12)
    drawn = [targets_of(head, twin, [i], TAGS)["spans"].tolist() for i in range(6)]
    assert len({str(d) for d in drawn}) > 1, "alike sentences have draws of their own"
    (piece,) = pieces_of(head, train, [3], TAGS, rng_key=(1, 1))
    assert [row[row.sum(-1) > 0].tolist() for row in piece.targets["spans"]] == spans([3], (1, 1))
    (by_default,) = pieces_of(head, train, [3], TAGS)
    assert torch.equal(by_default.targets["spans"], targets_of(head, train, [3], TAGS, (0,))["spans"])
    assert torch.equal(targets_of(head, train, [3], TAGS)["spans"], by_default.targets["spans"])
    assert isinstance(head, SpertHead)


def test_losses_of_pieces_add_up_and_gradients_are_the_whole_batchs(tiny_encoder: str, tmp_path: Path) -> None:
    model, train, _ = made(tiny_encoder, tmp_path, **OFF)
    model.eval()
    whole = backward(model, train, BATCH, TAGS)
    expected = gradients(model)
    (piece,) = pieces_of(head_of(model), train, BATCH, TAGS)
    context = TrainContext()
    assert float(loss_of(model, piece, context).detach()) == pytest.approx(float(whole), rel=1e-5)
    assert not whole.requires_grad and whole.shape == ()
    losses = []
    for way in ({"parts": 2}, {"parts": 5}, {"grouped": True}):
        losses.append(float(backward(model, train, BATCH, TAGS, **way)))
        assert close(gradients(model), expected)
    assert losses == pytest.approx([float(whole)] * 3, rel=1e-5)
    # DDP takes the mean over the workers: a worker's gradient is multiplied by their number, its loss is not.
    several = backward(model, train, BATCH, TAGS, context=TrainContext(0, 4))
    assert float(several) == pytest.approx(float(whole), rel=1e-5)
    assert close([g / 4 for g in gradients(model)], expected)
    half = Piece(piece.inputs, piece.targets, 0.5)
    assert float(pass_piece(model, half, context)) == pytest.approx(0.5 * float(whole), rel=1e-5)
    assert close([g * 2 for g in gradients(model)], expected)
    nothing = backward(model, train, [], TAGS)
    assert float(nothing) == 0.0 and all(not g.any() for g in gradients(model))
    with pytest.raises(RuntimeError, match="stack"):
        pass_pieces(model, [])


def test_workers_exchange_gradients_after_the_last_piece_alone(
    tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exchanging(nn.Module):
        """As DDP is used: what is trained inside, and passes during which nothing is exchanged."""

        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module, self.passes, self.inside = module, list[bool](), False

        @contextmanager
        def no_sync(self) -> Iterator[None]:
            self.inside = True
            yield
            self.inside = False

        def forward(self, *inputs: Any, **teacher: Any) -> Any:
            self.passes.append(not self.inside)
            return self.module(*inputs, **teacher)

    monkeypatch.setattr(step, "DistributedDataParallel", Exchanging)
    model, train, _ = made(tiny_encoder, tmp_path, **OFF)
    outer = Exchanging(model.eval())
    assert inner_of(outer) is model and head_of(outer) is model.head
    found = backward(outer, train, BATCH, TAGS, 3)
    assert outer.passes == [False, False, True]
    assert float(found) == pytest.approx(float(backward(model, train, BATCH, TAGS)), rel=1e-5)


def test_the_head_is_told_the_gold_that_it_reads_while_it_learns(tiny_encoder: str, tmp_path: Path) -> None:
    model, train, _ = made(tiny_encoder, tmp_path, **{"model.head": "tablert"}, **OFF)
    assert head_of(model) is model.head and inner_of(model) is model and head_of(model.head) is model.head
    model.eval()
    (piece,) = pieces_of(head_of(model), train, [0, 1], TAGS)
    loss = float(loss_of(model, piece, TrainContext()).detach())
    other = {**piece.targets, "entity_tags": piece.targets["entity_tags"].clone()}
    teacher = {name: piece.targets[name] for name in head_of(model).teacher_inputs}
    with torch.no_grad():
        outputs = model(*piece.inputs, **teacher)
        assert loss == pytest.approx(float(head_of(model).loss(outputs, other)), rel=1e-5)
    half = TrainContext(autocast=torch.bfloat16)
    assert float(loss_of(model, piece, half).detach()) != loss, "the context's precision holds"
