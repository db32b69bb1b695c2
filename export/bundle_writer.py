"""The last step of writing a bundle: its manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tablert_dist.inference.bundle import FORMAT, MANIFEST
from tablert_dist.storage.atomic import sha256


def seal(folder: Path, graphs: Mapping[str, str], facts: Mapping[str, Any]) -> None:
    """Write the manifest of a folder whose other files are complete: their sha256 and `facts`."""
    files = {str(p.relative_to(folder)): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    manifest = {"format": FORMAT, "graphs": dict(graphs), **facts, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
