"""The report on a terminal: a table of counts and a table of findings."""

from __future__ import annotations

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
    if report.findings:
        console.print(_findings(report))
    tally = ", ".join(counted(n, severity) for severity, n in report.tally().items())
    console.print(f"{_safe(report.name)}: {tally}")


def _counts(report: DataReport, splits: dict[str, dict[str, object]]) -> Table:
    table = Table(title=f"{_safe(report.name)}", title_justify="left", header_style="dim")
    columns = ("sentences", "words", "entities", "relations", "overlapping_pairs")
    table.add_column("split")
    for name in (*columns, "words a sentence", "subwords a sentence"):
        table.add_column(name.replace("_", " "), justify="right")
    for name, split in splits.items():
        lengths = [_lengths(split[key]) for key in ("length_words", "length_subwords")]
        table.add_row(name, *(str(split[column]) for column in columns), *lengths)
    return table


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
