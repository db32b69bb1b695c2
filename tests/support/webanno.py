"""Files of WebAnno TSV 3, written by hand."""

from __future__ import annotations

from pathlib import Path

from tablert_dist.data import formats
from tablert_dist.data.formats import Notes
from tablert_dist.schema import Sentence

HEADER = """#FORMAT=WebAnno TSV 3.3
#T_SP=custom.Span|label
#T_RL=custom.Relation|label|BT_custom.Span


"""


def put(path: Path, text: str, header: str = HEADER) -> Path:
    path.write_bytes((header + text).encode())
    return path


def rows(*lines: str) -> str:
    """Columns by spaces here, by tabs there; each row ends with a tab, as WebAnno's do."""
    return "".join("\t".join(line.split(" ")) + "\t\n" for line in lines)


def read(path: Path) -> tuple[list[Sentence], list[str]]:
    notes = Notes()
    assert formats.detect(path) == "webanno"
    found = formats.read(path, "auto", notes)
    return found, [line.partition(" (the first")[0] for line in notes.lines()]
