"""`tablert study layers`: the paper's Tables 3 and 4 and Figures 2 to 4 on the development split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tablert_dist.config import Config
from tablert_dist.scoring import TITLES
from tablert_dist.study.cells import systems, title
from tablert_dist.study.ledger import Ours, differences, ledger, published_layers
from tablert_dist.study.pairs import HEADER, mean, pair_row, pooled
from tablert_dist.study.run import Done, StudyPart

LEVELS = {level: TITLES[level] for level in ("ner", "re", "re_plus")}
"""Those that the paper has."""
PAPER = {"ner": "Table 3", "re": "Table 4"}


def layers_page(done: Sequence[Done], part: StudyPart, command: str) -> str:
    """The tables as Markdown: ours, and the paper's beside each cell where the protocol is the same."""
    config, dataset = part.config, part.name
    cells = [one.cell for one in done]
    epochs = {name: _epochs(done, name) for name in dict.fromkeys(c.system for c in cells)}
    seeds = sorted({c.seed for c in cells})
    reasons = {name: _differences(config, dataset, name, epochs[name], len(seeds)) for name in epochs}
    lines = [
        f"# {dataset}, development split, by encoder layer",
        "",
        f"Micro F1 in percent at the best epoch by dev RE+; encoder `{config.model.encoder}`; "
        f"seeds {', '.join(map(str, seeds))}; epochs {', '.join(f'{title(n)} {e}' for n, e in epochs.items())}; "
        f"trained on {config.data.train_on}, overlapping entities: {config.data.overlap}. "
        "Layer 0 is the embedding output; –: not run.",
        "",
        "```",
        command,
        "```",
    ]
    for level, name in LEVELS.items():
        lines += ["", f"## {name}" + (f" (the paper's {PAPER[level]})" if level in PAPER else ""), ""]
        lines += _table(done, level, reasons)
    lines += ["", "## The order of the systems", "", *_order(done)]
    if len(epochs) > 1:
        lines += ["", *_against_the_first(done, part)]
    apart = {name: found for name, found in reasons.items() if found}
    if apart:
        lines += ["", "## Why the paper's scores do not stand beside ours", ""]
        lines += [f"- {title(name)}: {'; '.join(found)}" for name, found in apart.items()]
    if known := [name for name in apart if name in ledger()["layers"]["re"]]:
        lines += ["", "What the paper prints for `bert-base-cased`, 30 epochs, 5 seeds, for the order alone:"]
        for level, table in PAPER.items():
            lines += ["", f"### {LEVELS[level]}, {table} of the paper", "", *_paper_table(level, known)]
    return "\n".join([*lines, ""])


def _epochs(done: Sequence[Done], system: str) -> int:
    return max(len(one.result["history"]) for one in done if one.cell.system == system)


def _differences(config: Config, dataset: str, system: str, epochs: int, seeds: int) -> list[str]:
    full = int(systems()[system].get("train.epochs", 30))
    selection = "best dev epoch by RE+"
    ours = Ours(dataset, config.model.encoder, config.data.train_on, selection, "micro", seeds, epochs, full)
    table = ledger()["layers"]
    if system not in table["re"]:
        return ["the paper has no such system"]
    # The paper says what these were trained on, but not of which epoch the scores are.
    return differences(
        ours, {"dataset": table["dataset"], "encoder": table["encoder"], "averaging": "micro", "trained_on": "train"}
    )


def _table(done: Sequence[Done], level: str, reasons: dict[str, list[str]]) -> list[str]:
    layers = sorted({one.cell.layer for one in done if one.cell.layer is not None})
    lines = [
        "| system | encoder | " + " | ".join(str(layer) for layer in layers) + " |",
        "|---|---|" + "---|" * len(layers),
    ]
    for system, frozen in rows_of(done):
        theirs = published_layers(level, system, frozen) if level in PAPER and not reasons[system] else {}
        shown = []
        for layer in layers:
            text = mean(values_of(done, system, frozen, layer, level))
            shown.append(f"{text} ({theirs[layer]:.1f})" if layer in theirs else text)
        lines.append(f"| {title(system)} | {'frozen' if frozen else 'updated'} | " + " | ".join(shown) + " |")
    return lines


def rows_of(done: Sequence[Done]) -> list[tuple[str, bool]]:
    """Systems and whether the encoder is frozen, in the order of print."""
    return sorted(
        {(one.cell.system, one.cell.frozen) for one in done}, key=lambda r: (list(systems()).index(r[0]), not r[1])
    )


def values_of(done: Sequence[Done], system: str, frozen: bool, layer: int | None, level: str) -> list[float]:
    """Dev F1 in percent of each seed."""
    found = [
        one.f1("dev", level)
        for one in done
        if (one.cell.system, one.cell.frozen, one.cell.layer) == (system, frozen, layer)
    ]
    return [100 * value for value in found if value is not None]


def _order(done: Sequence[Done]) -> list[str]:
    """At each layer the systems by their mean RE F1."""
    lines = []
    for frozen in sorted({one.cell.frozen for one in done}, reverse=True):
        for layer in sorted({one.cell.layer for one in done if one.cell.layer is not None}):
            means = {
                system: float(np.mean(values))
                for system, way in rows_of(done)
                if way == frozen and (values := values_of(done, system, frozen, layer, "re"))
            }
            if not means:
                continue
            ranked = sorted(means, key=lambda s: -means[s])
            told = " > ".join(f"{title(s)} {means[s]:.1f}" for s in ranked)
            lines.append(f"- {'frozen' if frozen else 'updated'}, layer {layer}, RE: {told}")
    return lines


def _against_the_first(done: Sequence[Done], part: StudyPart) -> list[str]:
    """In each column every other system against the first, on the development split."""
    first = rows_of(done)[0][0]
    lines = [f"## RE+ against {title(first)}", ""]
    lines += ["Micro F1 over the development split, which also chose each training's epoch:", "", *HEADER]
    for frozen, layer in sorted({(o.cell.frozen, o.cell.layer) for o in done}, key=lambda c: (not c[0], c[1] or 0)):
        column = [one for one in done if (one.cell.frozen, one.cell.layer) == (frozen, layer)]
        names = [name for name, _ in rows_of(column)]
        counts = {name: pooled([part], [o for o in column if o.cell.system == name], "dev") for name in names}
        where = f"{'frozen' if frozen else 'updated'}, layer {layer}: "
        lines += [pair_row(name, first, counts, where) for name in names if name != first and first in counts]
    return lines


def _paper_table(level: str, names: Sequence[str]) -> list[str]:
    layers = ledger()["layers"]["layers"]
    lines = ["| system | encoder | " + " | ".join(map(str, layers)) + " |", "|---|---|" + "---|" * len(layers)]
    for name in names:
        for frozen in (True, False):
            row = published_layers(level, name, frozen)
            told = " | ".join(f"{row[layer]:.1f}" for layer in layers)
            lines.append(f"| {title(name)} | {'frozen' if frozen else 'updated'} | {told} |")
    return lines
