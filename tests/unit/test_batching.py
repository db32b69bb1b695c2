"""Batches: every sentence once, seeded, of similar length; evaluation within its budget; shares that cover a batch."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tablert_dist.batching import evaluation_batches, rank_share, training_batches

LENGTHS = st.lists(st.integers(1, 120), min_size=1, max_size=80)


@given(LENGTHS, st.integers(1, 9), st.booleans(), st.integers(0, 5))
def test_an_epoch_holds_every_sentence_once(lengths: list[int], size: int, bucket: bool, epoch: int) -> None:
    batches = training_batches(lengths, size, bucket, 3, epoch)
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // size)
    assert sum(len(b) != size for b in batches) == (len(lengths) % size > 0)
    assert batches == training_batches(lengths, size, bucket, 3, epoch)


def test_epochs_and_seeds_differ_and_buckets_pad_less() -> None:
    lengths = np.random.default_rng(0).integers(3, 100, 500).tolist()
    first, second = (training_batches(lengths, 8, True, 1, epoch) for epoch in (0, 1))
    assert first != second != training_batches(lengths, 8, True, 2, 1)
    assert len({frozenset(b) for b in first} & {frozenset(b) for b in second}) < 5, "batches are mixed anew"

    def cells(batches: list[list[int]]) -> int:
        return sum(len(b) * max(lengths[i] for i in b) ** 2 for b in batches)

    assert cells(first) < 0.6 * cells(training_batches(lengths, 8, False, 1, 0))


@given(LENGTHS, st.integers(1, 20_000))
def test_evaluation_batches_keep_to_their_budget(lengths: list[int], budget: int) -> None:
    batches = evaluation_batches(lengths, budget)
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) * longest**2 <= budget or len(batch) == 1


@given(LENGTHS, st.integers(1, 5))
def test_shares_cover_the_batch(lengths: list[int], workers: int) -> None:
    batch = list(range(len(lengths)))
    shares = [rank_share(batch, lengths, rank, workers) for rank in range(workers)]
    assert sorted(i for s in shares for i in s) == batch
    words = [sum(lengths[i] for i in share) for share in shares]
    assert max(words) - min(words) <= max(lengths), "no worker has a sentence more than it need have"
