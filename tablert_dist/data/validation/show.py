"""The report on a terminal: a table of counts and a table of findings."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tablert_dist.data.validation.finding import DataReport
from tablert_dist.errors import counted

STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def show(report: DataReport, console: Console) -> None:
    """Print it. Examples are escaped: nothing in the data is markup, and control characters are not sent on."""
    splits = report.summary.get("splits", {})
    if splits:
        console.print(_counts(report, splits))
        if any(lossy(split["heads"]) for split in splits.values()):
            console.print(_heads(splits))
    if report.findings:
        console.print(_findings(report))
    tally = ", ".join(counted(n, severity) for severity, n in report.tally().items())
    console.print(f"{_safe(report.name)}: {tally}")


def _counts(report: DataReport, splits: dict[str, dict[str, Any]]) -> Table:
    table = Table(title=f"{_safe(report.name)}", title_justify="left", header_style="dim")
    columns = ("sentences", "words", "entities", "relations", "overlapping_pairs")
    table.add_column("split")
    for name in (*columns, "words a sentence", "subwords a sentence"):
        table.add_column(name.replace("_", " "), justify="right")
    for name, split in splits.items():
        lengths = [_lengths(split[key]) for key in ("length_words", "length_subwords")]
        table.add_row(name, *(str(split[column]) for column in columns), *lengths)
    return table


def lossy(heads: list[dict[str, Any]]) -> bool:
    """Whether some head cannot hold all of a split."""
    return any(count for entry in heads for count in entry["lost"].values())


def _heads(splits: dict[str, dict[str, Any]]) -> Table:
    """A row for the heads that hold the same of a split."""
    table = Table(title="what a head can hold", title_justify="left", header_style="dim")
    table.add_column("split")
    table.add_column("model.head")
    for name in HEADED:
        table.add_column(name, justify="right")
    for split, numbers in splits.items():
        for entry in numbers["heads"] if lossy(numbers["heads"]) else ():
            table.add_row(split, ", ".join(entry["heads"]), *held_cells(entry))
    return table


HEADED = ("entities left out", "their relations", "several on a pair", "with itself", "best NER", "best RE+")


def held_cells(entry: dict[str, Any]) -> list[str]:
    """Under `HEADED`: what is lost by cause, and the best possible F1 in per cent."""
    lost, best = entry["lost"], entry["best_f1"]
    counts = (lost["entities"], lost["of_lost_entities"], lost["two_way"] + lost["same_pair"], lost["self_relations"])
    return [*(str(n) if n else "–" for n in counts), *(f"{100 * best[level]:.2f}" for level in ("ner", "re_plus"))]


def _lengths(spread: object) -> str:
    """Mean and most."""
    return f"{spread['mean']:.1f} (most {spread['most']})" if isinstance(spread, dict) else "–"


def _findings(report: DataReport) -> Table:
    table = Table(show_lines=True, header_style="dim", expand=True)
    table.add_column("", no_wrap=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("what", ratio=5, overflow="fold")
    table.add_column("what to do", ratio=3, overflow="fold", style="dim")
    for finding in report.findings:
        example = ""
        if finding.example:
            at = f"record {finding.record}: " if finding.record is not None else ""
            example = f"\n[dim]{at}{_safe(finding.example)}[/]"
        head = f"[{STYLES[finding.severity]}]{finding.severity}[/]\n[dim]{finding.check}[/]"
        what = f"{_safe(finding.file)}: {_safe(finding.says)}{example}"
        table.add_row(head, str(finding.count), what, _safe(finding.advice))
    return table


def _safe(text: str) -> str:
    """Without control characters and lone surrogates, and with square brackets that mean themselves."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return escape(plain.encode("utf-8", "replace").decode("utf-8"))
