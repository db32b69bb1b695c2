"""Batches are padded to a dozen shapes, with as little padding as that allows."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from tablert_dist.batching import training_batches
from tablert_dist.gpu import Ladder, Sizes
from tablert_dist.gpu.sizes import SHAPES, _steps


def sizes_of(words: np.ndarray, batch: list[int]) -> Sizes:
    longest = int(words[batch].max())
    return Sizes(longest, int(1.3 * longest) + 2, int((1 + words[batch] % 5).max()), len(batch))


@pytest.mark.parametrize("bucket", [False, True])
@pytest.mark.parametrize("size", [1, 8, 32])
def test_an_epoch_has_at_most_twelve_shapes(size: int, bucket: bool) -> None:
    words = np.random.default_rng(0).gamma(3.0, 9.0, 900).astype(int) + 3
    epochs = [[sizes_of(words, b) for b in training_batches(words.tolist(), size, bucket, 1, e)] for e in range(12)]
    seen = [batch for epoch in epochs[4:] for batch in epoch][:200]
    ladder = Ladder(seen, replace(sizes_of(words, list(range(900))), rows=size))
    for epoch in epochs[:4]:
        padded = [ladder.of(batch) for batch in epoch]
        assert len(set(padded)) <= SHAPES + 1 < len(set(epoch)) or len(set(epoch)) <= SHAPES + 1
        assert all(larger.holds(batch) for larger, batch in zip(padded, epoch, strict=True))
        wasted = sum(larger.cells for larger in padded) / sum(batch.cells for batch in epoch)
        assert wasted < (2.2 if size == 1 else 1.5), wasted


def test_the_steps_are_the_best_ones() -> None:
    rng = np.random.default_rng(1)

    def cost(steps: tuple[int, ...], lengths: list[int]) -> int:
        return sum(min(step for step in steps if step >= n) ** 2 for n in lengths)

    for most in (1, 2, 3, 4):
        lengths = rng.integers(1, 12, 30).tolist()
        others = set(lengths) - {max(lengths)}
        best = min(
            cost((*chosen, max(lengths)), lengths)
            for count in range(most)
            for chosen in itertools.combinations(others, min(count, len(others)))
        )
        found = _steps(lengths, most)
        assert len(found) <= most and found == sorted(set(found)) and found[-1] == max(lengths)
        assert cost(tuple(found), lengths) == best


def test_a_batch_that_nothing_holds_keeps_its_shape() -> None:
    usual = Sizes(16, 24, 2, 8)
    ladder = Ladder([usual], usual)
    assert ladder.of(usual) == usual
    longer, smaller = Sizes(99, 120, 3, 8), Sizes(16, 24, 2, 3)
    assert ladder.of(longer) == longer
    assert ladder.of(smaller) == smaller, "five of eight rows would be empty"
    assert ladder.of(Sizes(3, 5, 1, 7)) == usual
