"""A checkpoint's folder without torch: its files, and whether they are what was saved."""

from __future__ import annotations

import json
from pathlib import Path

from tablert_dist.storage.atomic import sha256

META, WEIGHTS, TRAINER = "checkpoint.json", "model.safetensors", "trainer.pt"


def damage(folder: Path) -> str | None:
    """What is wrong with the folder's files, or None: each has the sha256 that was written when it was saved.

    A missing trainer's state is no damage: it is removed when it is no longer needed.
    """
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"{META} cannot be read ({error})"
    for name, digest in meta.get("files", {}).items():
        path = folder / name
        if not path.is_file():
            if name != TRAINER:
                return f"{name} is missing"
        elif sha256(path) != digest:
            return f"{name} ({path.stat().st_size} bytes) is not what was saved"
    return None
