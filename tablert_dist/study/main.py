"""`tablert study main`: the paper's Table 2 on your data sets, mean ± deviation over seeds, and what differs from the paper."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from tablert_dist.scoring import TITLES
from tablert_dist.study.cells import systems, title
from tablert_dist.study.ledger import Ours, differences, published
from tablert_dist.study.pairs import HEADER, mean, pair_row, pooled
from tablert_dist.study.run import Done, StudyPart

LEVELS = {level: TITLES[level] for level in ("ner", "re", "re_plus")}
"""Those that the paper has."""


def main_page(done: Sequence[Done], parts: Sequence[StudyPart], command: str) -> str:
    """Every data set's table as Markdown: our rows, the published ones, the difference in protocol, significance."""
    lines = ["# Systems on whole data sets, test split", "", "```", command, "```"]
    for dataset in dict.fromkeys(part.name.partition("/")[0] for part in parts):
        of_set = [part for part in parts if part.name.partition("/")[0] == dataset]
        found = [one for one in done if one.part in {part.name for part in of_set}]
        lines += ["", f"## {dataset}", "", *_dataset(dataset, of_set, found)]
    return "\n".join([*lines, ""])


def _dataset(dataset: str, parts: Sequence[StudyPart], done: Sequence[Done]) -> list[str]:
    config = parts[0].config
    names = list(dict.fromkeys(one.cell.system for one in done))
    average = averaging(parts)
    ours = {name: _ours(dataset, parts, [one for one in done if one.cell.system == name], average) for name in names}
    first = ours[names[0]]
    lines = [
        f"F1 in percent, {average}, mean ± standard deviation over seeds; encoder `{config.model.encoder}`; trained on "
        f"{first.trained_on}; {first.selection}; overlapping entities: {config.data.overlap}; "
        f"epochs {', '.join(f'{title(n)} {ours[n].epochs} of {ours[n].full_epochs}' for n in names)}.",
        "",
        "| system | encoder | by | NER | RE | RE+ |",
        "|---|---|---|---|---|---|",
    ]
    for name in names:
        rows = [one for one in done if one.cell.system == name]
        told = " | ".join(mean(by_seed(rows, level, average)) for level in LEVELS)
        lines.append(f"| {title(name)} | {_short(config.model.encoder)} | here | {told} |")
    rows_there = published(dataset) if dataset in {"conll04", "ade", "ace05"} else []
    for row in rows_there:
        told = " | ".join("–" if v is None else f"{v:.1f}" for v in (row.ner, row.re, row.re_plus))
        lines.append(f"| {row.system} | {row.encoder} | {row.by} | {told} |")
    if rows_there:
        lines += ["", "Ours and the published rows differ in:", ""]
        for name in names:
            apart = differences(ours[name], next(r for r in rows_there if r.encoder == "bert-base"))
            lines.append(f"- {title(name)}: {'; '.join(apart) or 'nothing: they may be compared'}")
    else:
        lines += ["", "The paper has no scores on this data set."]
    if "spert" in names:
        lines += ["", "SpERT can hold overlapping entities; it is scored on the same gold as the others."]
    return [*lines, "", *_significance(parts, done, names)]


def averaging(parts: Sequence[StudyPart]) -> str:
    """`macro over ten folds` for a data set in folds, else `micro`."""
    if "/" not in parts[0].name:
        return "micro"
    return f"macro over {'ten' if len(parts) == 10 else len(parts)} fold{'s' if len(parts) > 1 else ''}"


def by_seed(done: Sequence[Done], level: str, average: str) -> list[float]:
    """F1 on test in percent of each seed; over folds their mean."""
    kind = average.partition(" ")[0]
    seeds = sorted({one.cell.seed for one in done})
    return [
        100 * float(np.mean([one.f1("test", level, kind) or 0.0 for one in done if one.cell.seed == seed]))
        for seed in seeds
    ]


def _ours(dataset: str, parts: Sequence[StudyPart], done: Sequence[Done], average: str) -> Ours:
    config = parts[0].config
    protocol = done[0].result["scores"]["test"]["protocol"]
    full = int(systems()[done[0].cell.system].get("train.epochs", 30))
    return Ours(
        dataset,
        config.model.encoder,
        str(protocol["trained_on"]),
        str(protocol["selection"]),
        average,
        len({one.cell.seed for one in done}),
        int(protocol["epochs"]),
        full,
    )


def _significance(parts: Sequence[StudyPart], done: Sequence[Done], names: Sequence[str]) -> list[str]:
    """Every pair of systems on RE+, all folds' sentences pooled."""
    if len(names) < 2:
        return []
    counts = {name: pooled(parts, [one for one in done if one.cell.system == name], "test") for name in names}
    rows = [pair_row(a, b, counts) for a, b in itertools.combinations(names, 2)]
    return ["RE+, micro F1 over all test sentences, each pair of systems:", "", *HEADER, *rows]


def _short(encoder: str) -> str:
    return encoder.removeprefix("package:").partition("/")[0]
