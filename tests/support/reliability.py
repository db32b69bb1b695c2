"""The table of docs/guides/reliability.md, written by the tests that inject the faults (TABLERT_WRITE_DOCS=1)."""

from __future__ import annotations

import os

from tests.support import ROOT

DOCUMENT = ROOT / "docs" / "guides" / "reliability.md"
BEGIN, END = "<!-- begin: rows -->", "<!-- end: rows -->"


def record(fault: str, how: str, seconds: float | None, lost: int, end: str) -> None:
    """One row: seconds from the fault to the next saved epoch, epochs trained again, and how the end compares."""
    if not os.environ.get("TABLERT_WRITE_DOCS"):
        return
    row = f"| {fault} | {how} | {'–' if seconds is None else f'{seconds:.0f}'} | {lost} | {end} |"
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    inside, _, after = rest.partition(END)
    rows = [line for line in inside.strip().splitlines() if not line.startswith(f"| {fault} |")]
    DOCUMENT.write_text("\n".join([f"{before}{BEGIN}", *rows, row, f"{END}{after}"]), encoding="utf-8")
