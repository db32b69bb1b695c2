"""Dropout of word vectors in training, on both ways through the table: a head whose outputs are the vectors themselves."""

from __future__ import annotations

import itertools

import pytest
import torch

from tablert_dist.heads.cnn.module import TableHead

WIDTH, DROPOUT = 50, 0.3
HALVES = (slice(0, WIDTH), slice(WIDTH, None))


def copying() -> TableHead:
    """A single layer of 1 × 1: cell (i, j) holds the row's vector, then the column's, as they are after dropout."""
    head = TableHead(WIDTH, 5, 2 * WIDTH, hidden=[], kernel_size=1, dropout=DROPOUT)
    one, nothing = torch.eye(WIDTH), torch.zeros(WIDTH, WIDTH)
    with torch.no_grad():
        head.pair.row_weight.copy_(torch.cat([one, nothing]))
        head.pair.column_weight.copy_(torch.cat([nothing, one]))
        head.pair.bias.zero_()
    return head


@pytest.mark.parametrize("way", ["by_sentence", "batched"])
def test_word_vectors_are_dropped_in_training_for_row_and_column_apart(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "batched":
        monkeypatch.setattr("tablert_dist.heads.cnn.module.table_by_sentence", TableHead.table)
    torch.manual_seed(0)
    head, words, mask = copying(), torch.ones(3, 8, WIDTH), torch.ones(3, 8, dtype=torch.bool)
    with torch.no_grad():
        found, plain = head.train()(words, mask)[1], head.eval()(words, mask)[1]
    row, column = (torch.stack([found[:, i, i] for i in range(8)], 1)[..., half] for half in HALVES)
    for half in (row, column):
        kept = half != 0
        torch.testing.assert_close(half[kept], torch.full_like(half[kept], 1 / (1 - DROPOUT)))
        assert 1 - float(kept.double().mean()) == pytest.approx(DROPOUT, abs=0.05), "of 1200 numbers"
    assert not torch.equal(row != 0, column != 0), "drawn for each role"
    for i, j in itertools.combinations(range(8), 2):
        assert torch.equal(found[:, i, j], torch.cat([row[:, i], column[:, j]], -1)), "once for all cells of a word"
        assert (plain[:, i, j] == 1).all(), "none in evaluation"
