"""Whether one system is better than another: paired over seeds, and by a bootstrap over sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tablert_dist.tags import Ints

RESAMPLES = 10_000


@dataclass(frozen=True)
class Comparison:
    """The first system against the second; F1 and differences in percent points."""

    difference: float
    """Mean over seeds of micro F1 on the pooled sentences."""
    low: float
    high: float
    """95 % of the bootstrap's differences."""
    p_sentences: float
    """Two-sided: how often a resample turns the difference round."""
    p_seeds: float | None
    """Of the paired t-test over seeds; None with fewer than two."""


def compare(first: Sequence[Ints], second: Sequence[Ints], resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """`first` and `second` have, for each seed, counts [S, 3] (hits, wrong, missed) of the same S sentences.

    Every resample draws S sentences with repetition, the same ones for both systems and all seeds. Raises ValueError
    where the seeds or sentences are not paired.
    """
    a, b = np.stack(first), np.stack(second)
    if a.shape != b.shape:
        raise ValueError(f"not paired: {a.shape} and {b.shape}")
    per_seed = 100 * (micro_f1(a.sum(1)) - micro_f1(b.sum(1)))
    draws = np.random.default_rng(seed)
    S = a.shape[1]
    differences = np.empty(resamples)
    for start in range(0, resamples, 500):
        chosen = draws.integers(0, S, (min(500, resamples - start), S))
        # How often each sentence is drawn: sums over resamples are then one product.
        weights = np.stack([np.bincount(row, minlength=S) for row in chosen])
        sums = [np.einsum("rs,nsk->rnk", weights, counts) for counts in (a, b)]
        differences[start : start + len(chosen)] = 100 * (micro_f1(sums[0]) - micro_f1(sums[1])).mean(1)
    low, high = np.quantile(differences, [0.025, 0.975])
    turned = min((differences <= 0).mean(), (differences >= 0).mean())
    return Comparison(float(per_seed.mean()), float(low), float(high), float(min(1.0, 2 * turned)), paired_t(per_seed))


def micro_f1(counts: Ints) -> np.ndarray:
    """F1 in 0–1 of counts whose last axis is hits, wrong, missed; 0/0 = 0."""
    hits, wrong, missed = np.moveaxis(counts.astype(np.float64), -1, 0)
    return np.asarray(2 * hits / np.maximum(2 * hits + wrong + missed, 1))


def paired_t(differences: Sequence[float] | np.ndarray) -> float | None:
    """p of the paired t-test on one difference a seed, two-sided; None with fewer than two. 1 where all are zero."""
    if len(differences) < 2:
        return None
    if np.ptp(differences) == 0:
        return 1.0 if differences[0] == 0 else 0.0
    from scipy import stats

    return float(stats.ttest_1samp(differences, 0.0).pvalue)
