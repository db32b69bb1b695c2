"""The error report as one HTML page that loads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tablert_dist.analysis.calibration import Calibration
from tablert_dist.analysis.errors import NOTHING, ErrorReport
from tablert_dist.pages.drawing.html import environment, styles
from tablert_dist.schema import Entity, Sentence
from tablert_dist.scoring import LEVELS, TITLES
from tablert_dist.storage.atomic import write_text

SIDE = 240.0
"""Side of the reliability plot, in pixels of its view box."""

TEMPLATES = environment(__package__, percent=lambda value: f"{100 * value:.1f}")


@dataclass(frozen=True)
class Item:
    """An entity or a relation in words, and whether the other side has it."""

    text: str
    shared: bool


def to_html(report: ErrorReport, title: str, protocol: str = "") -> str:
    """The page as text: the same bytes for the same report."""
    return TEMPLATES.get_template("page.html.jinja").render(
        report=report,
        title=title,
        protocol=protocol,
        levels=[(TITLES[level], report.scores.levels[level].micro) for level in LEVELS],
        titles=TITLES,
        matrices=[
            ("entities of equal spans", *_matrix(report.entity_confusion)),
            ("relations of equal pairs of spans", *_matrix(report.relation_confusion)),
        ],
        groups=[("sentences by length", report.by_length), ("relations by distance", report.by_distance)],
        curves=[
            (kind, found, _curve(found), report.before and getattr(report.before, kind))
            for kind, found in vars(report.reliability).items()
        ],
        side=SIDE,
        worst=[(w, " ".join(w.gold.words), _items(w.gold, w.found), _items(w.found, w.gold)) for w in report.worst],
        css=styles(__package__),
    )  # fmt: skip


def write_page(report: ErrorReport, out: Path, title: str, protocol: str = "") -> Path:
    """Write the file whole or not at all. Raises InputError where it cannot be written."""
    write_text(out, to_html(report, title, protocol))
    return out


def _matrix(confusion: dict[tuple[str, str], int]) -> tuple[list[str], list[tuple[str, list[tuple[int, float]]]]]:
    """Column names, and rows of (count, share of the gold row); nothing stands last."""
    names = sorted({name for pair in confusion for name in pair} - {NOTHING})
    names.append(NOTHING)
    rows = []
    for gold in names:
        row = [confusion.get((gold, said), 0) for said in names]
        total = sum(row) or 1
        rows.append((gold, [(n, n / total) for n in row]))
    return names, rows


def _curve(found: Calibration) -> list[tuple[float, float, float]]:
    """Points of the reliability curve: x, y and radius in pixels."""
    most = max((b.count for b in found.bins), default=1)
    return [
        (round(b.confidence * SIDE, 1), round((1 - b.precision) * SIDE, 1), round(3 + 6 * (b.count / most) ** 0.5, 1))
        for b in found.bins
    ]


def _items(mine: Sentence, theirs: Sentence) -> list[Item]:
    def say(entity: Entity) -> str:
        return f"{mine.text_of(entity)} ({entity.type})"

    entities = [Item(say(e), e in set(theirs.entities)) for e in sorted(set(mine.entities))]
    relations = [
        Item(f"{say(r.head)} – {r.type} → {say(r.tail)}", r in set(theirs.relations))
        for r in sorted(set(mine.relations))
    ]
    return entities + relations
