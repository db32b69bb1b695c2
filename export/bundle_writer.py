"""The last step of writing a bundle: its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tablert_dist.inference.bundle import FORMAT, MANIFEST
from tablert_dist.storage.atomic import sha256, write_json
from tablert_dist.storage.records import sealed


def seal(folder: Path, graphs: Mapping[str, str], facts: Mapping[str, Any]) -> None:
    """Write the manifest of a folder whose other files are complete: their sha256, `facts`, and its own seal."""
    files = {str(p.relative_to(folder)): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    manifest = {"format": FORMAT, "graphs": dict(graphs), **facts, "files": files}
    write_json(folder / MANIFEST, sealed(manifest))
