"""Pairs of systems in a study's pages: differences in RE+ with their significance, and means with deviations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tablert_dist.analysis.significance import compare
from tablert_dist.study.cells import title
from tablert_dist.study.predictions import counts_by_sentence, read_predictions
from tablert_dist.study.run import Done, StudyPart
from tablert_dist.tags import Ints

HEADER = [
    "| pair | difference | 95 % (bootstrap over sentences) | p (sentences) | p (paired over seeds) |",
    "|---|---|---|---|---|",
]


def mean(values: Sequence[float]) -> str:
    """`65.2 ± 1.3`; without the deviation where there is one value."""
    if not values:
        return "–"
    return f"{np.mean(values):.1f}" + (f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else "")


def pooled(parts: Sequence[StudyPart], done: Sequence[Done], split: str) -> dict[int, Ints]:
    """Counts [S, 3] on RE+ by seed of one system's predictions on a split, the parts' sentences one after another."""
    found: dict[int, list[Ints]] = {}
    for part in parts:
        gold = part.corpus.splits[split]
        for one in done:
            if one.part == part.name:
                predicted = read_predictions(one.folder, split, gold)
                table = counts_by_sentence(gold, predicted, part.corpus.schema)["re_plus"]
                found.setdefault(one.cell.seed, []).append(table)
    return {seed: np.concatenate(tables) for seed, tables in found.items()}


def pair_row(first: str, second: str, counts: Mapping[str, Mapping[int, Ints]], where: str = "") -> str:
    """A row under `HEADER`: the first system minus the second on the seeds that both have."""
    seeds = sorted(counts[first].keys() & counts[second].keys())
    found = compare([counts[first][s] for s in seeds], [counts[second][s] for s in seeds])
    told = [_p(found.p_sentences), "–" if found.p_seeds is None else _p(found.p_seeds)]
    interval = f"{found.low:+.1f} … {found.high:+.1f}"
    return f"| {where}{title(first)} − {title(second)} | {found.difference:+.1f} | {interval} | {' | '.join(told)} |"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
