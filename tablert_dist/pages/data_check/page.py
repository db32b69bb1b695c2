"""The report as one HTML page that loads nothing: findings, counts, plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tablert_dist.data.validation.finding import SEVERITIES, DataReport
from tablert_dist.data.validation.show import HEADED, held_cells, lossy
from tablert_dist.pages.data_check.plots import histogram, type_rows
from tablert_dist.pages.drawing.html import environment, styles
from tablert_dist.storage.atomic import write_text

TEMPLATES = environment(__package__)


def to_html(report: DataReport) -> str:
    """The page as text: the same bytes for the same report."""
    splits = report.summary.get("splits", {})
    return TEMPLATES.get_template("page.html.jinja").render(
        report=report,
        tally=report.tally(),
        groups=[(s, [f for f in report.findings if f.severity == s]) for s in SEVERITIES],
        splits=splits,
        headed=HEADED,
        heads=[
            (name, [(", ".join(entry["heads"]), held_cells(entry)) for entry in split["heads"]])
            for name, split in splits.items()
            if lossy(split["heads"])
        ],
        charts=_charts(report.summary, splits),
        histograms=_histograms(report.summary, splits),
        arguments=_arguments(report.summary),
        shared=[pair for pair in report.summary.get("shared", ()) if pair["sentences"]],
        css=styles(__package__),
    )  # fmt: skip


def write_page(report: DataReport, out: Path) -> None:
    """Write the file whole or not at all. Raises InputError where it cannot be written."""
    write_text(out, to_html(report))


def _charts(summary: Any, splits: Any) -> list[tuple[str, Any]]:
    return [
        (title, type_rows(summary["types"][kind], [split[f"{kind}_types"] for split in splits.values()]))
        for title, kind in (("entities by type", "entity"), ("relations by type", "relation"))
        if splits
    ]


def _histograms(summary: Any, splits: Any) -> list[Any]:
    found = []
    for title, key, limit in (
        ("words in a sentence", "length_words", None),
        ("subwords in a sentence", "length_subwords", summary.get("limit")),
    ):
        counts = {name: split[key]["counts"] for name, split in splits.items() if split[key]}
        if counts:
            found.append(histogram(title, counts, limit))
    return found


def _arguments(summary: Any) -> list[tuple[str, list[dict[str, Any]]]]:
    """For each relation type its pairs of argument types with their shares of the type, most frequent first."""
    found = []
    for kind, pairs in summary.get("arguments", {}).items():
        total = sum(pair["count"] for pair in pairs)
        found.append((kind, [{**pair, "share": pair["count"] / total} for pair in pairs]))
    return found
