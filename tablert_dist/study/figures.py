"""The paper's Figures 2 to 4 of a study by layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tablert_dist.heads import HEADS
from tablert_dist.study.cells import title
from tablert_dist.study.layers import LEVELS, rows_of, values_of
from tablert_dist.study.run import Done


def draw_figures(done: Sequence[Done], folder: Path) -> list[Path]:
    """Figures 2, 3 and 4 of the paper for these cells, each as PNG and SVG; the files that were written."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []

    def save(name: str) -> None:
        plt.tight_layout()
        for ending in ("png", "svg"):
            written.append(folder / f"{name}.{ending}")
            # Without a date, so that the same scores are the same file.
            plt.savefig(written[-1], dpi=150, metadata={"Date": None} if ending == "svg" else {})
        plt.close()

    matplotlib.rcParams["svg.hashsalt"] = "tablert"
    ways = {one.cell.frozen for one in done}
    # Figures 2 and 3 are of updated encoders, where there are any.
    shown = False not in ways
    plt.figure(figsize=(7.5, 4))
    for level in ("ner", "re"):
        _lines(plt, done, level, [shown])
    _axes(plt, "encoder layer", "micro F1")
    save("figure-2")
    plt.figure(figsize=(7.5, 4))
    _by_parameters(plt, done, shown)
    _axes(plt, "trained parameters, millions", "RE micro F1")
    save("figure-3")
    for level in ("ner", "re"):
        plt.figure(figsize=(7.5, 4))
        _lines(plt, done, level, sorted(ways))
        _axes(plt, "encoder layer", f"{LEVELS[level]} micro F1")
        save(f"figure-4-{level}")
    return written


COLOURS = {name: spec.colour for name, spec in HEADS.items()}
"""Of the paper's systems, which bear their heads' names; others take what comes next."""


def _lines(plt: Any, done: Sequence[Done], level: str, ways: Sequence[bool]) -> None:
    for system, frozen in rows_of(done):
        if frozen not in ways:
            continue
        cells = [one.cell for one in done if (one.cell.system, one.cell.frozen) == (system, frozen)]
        layers = sorted({cell.layer for cell in cells if cell.layer is not None})
        means = [float(np.mean(values_of(done, system, frozen, layer, level))) for layer in layers]
        way = f", {'frozen' if frozen else 'updated'}" if len(ways) > 1 else ""
        # Where one way is shown, dots are NER's; where both are, dashes are the frozen encoder's.
        style = (":" if level == "ner" else "-") if len(ways) == 1 else "--" if frozen else "-"
        plt.plot(
            layers, means, style, marker="o", color=COLOURS.get(system), label=f"{title(system)} ({LEVELS[level]}{way})"
        )
        plt.xticks(sorted({one.cell.layer for one in done if one.cell.layer is not None}))


def _by_parameters(plt: Any, done: Sequence[Done], frozen: bool) -> None:
    for system, way in rows_of(done):
        if way != frozen:
            continue
        points = sorted(
            (one.parameters / 1e6, 100 * (one.f1("dev", "re") or 0.0))
            for one in done
            if (one.cell.system, one.cell.frozen) == (system, frozen)
        )
        plt.plot(
            [p for p, _ in points], [f for _, f in points], marker="o", color=COLOURS.get(system), label=title(system)
        )


def _axes(plt: Any, x: str, y: str) -> None:
    plt.xlabel(x)
    plt.ylabel(y)
    plt.ylim(0, 100)
    plt.grid(alpha=0.3)
    # Beside the axes: lines lie anywhere between 0 and 100.
    plt.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))
