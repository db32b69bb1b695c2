"""The cost model of `bench.scaling` at its limits, and against a hand-made network."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.links import Links, Step, all_reduce, buckets, flat, hierarchical, ring, simulate
from bench.scaling import COMMAND, divide, recorded
from tablert_dist.batching import rank_share

STEP = Step(forward=0.05, backward=0.08, update=0.02)
EVEN = [np.ones(16)] * 4


def test_a_ring_moves_twice_the_bytes_less_one_share() -> None:
    assert ring(1, 1e9, 1e9) == 0.0
    assert ring(2, 1e9, 1e9) == 1.0
    assert ring(4, 1e9, 1e9) == 1.5
    assert ring(10**6, 1e9, 1e9) == pytest.approx(2.0, rel=1e-5)
    assert ring(5, 0.0, 1e9, latency=0.001) == pytest.approx(0.008)


def test_a_hierarchy_is_a_ring_inside_and_a_ring_between() -> None:
    links = Links(network=1e9, inside=1e10, gpus=4)
    assert hierarchical(4, 1e9, links) == flat(4, 1e9, links) == ring(4, 1e9, 1e10)
    assert hierarchical(8, 1e9, links) == ring(4, 1e9, 1e10) + ring(2, 1e9, 1e9)
    assert flat(8, 1e9, links) == ring(8, 1e9, 1e9)
    slow_start = Links(1e9, 1e10, 4, network_latency=0.01, inside_latency=0.001)
    assert all_reduce(64, 1e6, slow_start) == hierarchical(64, 1e6, slow_start) < flat(64, 1e6, slow_start)


def test_the_buckets_are_ddps() -> None:
    assert buckets(60e6).sum() == 60e6 and buckets(60e6)[0] == 2**20 and max(buckets(60e6)) == 25 * 2**20
    assert buckets(1000.0).tolist() == [1000.0]


@pytest.mark.parametrize("overlap", [True, False])
def test_endless_bandwidth_is_perfect_scaling(overlap: bool) -> None:
    links = Links(math.inf, math.inf, 8)
    assert simulate(STEP, EVEN, 60e6, 1e6, links, overlap=overlap) == pytest.approx(STEP.seconds)


def test_what_hides_behind_the_backward_pass_and_what_cannot() -> None:
    links = Links(network=1e9, inside=1e9, gpus=1)
    whole = sum(all_reduce(16, size, links) for size in buckets(60e6))
    after = simulate(STEP, EVEN, 60e6, 0.0, links, overlap=False)
    assert after == pytest.approx(STEP.seconds + whole)
    beside = simulate(STEP, EVEN, 60e6, 0.0, links)
    last = all_reduce(16, buckets(60e6)[-1], links)
    assert max(STEP.seconds + last, STEP.forward + STEP.update + whole) <= beside < after
    with_rows = simulate(STEP, EVEN, 60e6, 1e6, links)
    assert with_rows == pytest.approx(beside + ring(16, 1e6, 1e9)), "the rows come last, beside nothing"


def test_everyone_waits_for_the_slowest() -> None:
    links = Links(math.inf, math.inf, 8)
    shares = [np.array([1.0, 1.0, 3.0, 1.0])]
    assert simulate(STEP, shares, 1e6, 0.0, links) == pytest.approx(3 * (STEP.forward + STEP.backward) + STEP.update)
    noisy = Step(STEP.forward, STEP.backward, STEP.update, jitter=0.2)
    few, many = (simulate(noisy, [np.ones(n)] * 200, 1e6, 0.0, links) for n in (2, 256))
    assert STEP.seconds < few < many, "of more workers the slowest is slower"


def test_the_shares_are_the_trainings() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, 50).tolist()
    for workers in (1, 2, 7, 64):
        parts = [rank_share(list(range(50)), lengths, rank, workers) for rank in range(workers)]
        assert sorted(divide(lengths, workers)) == sorted(sum(lengths[i] for i in part) for part in parts)


@pytest.mark.parametrize("encoder", COMMAND)
def test_the_recorded_step_is_read_from_the_page(encoder: str) -> None:
    step = recorded(encoder, 0.05)
    assert min(step.forward, step.backward, step.update) > 0 and step.jitter == 0.05
