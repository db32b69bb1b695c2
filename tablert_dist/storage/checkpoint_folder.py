"""A checkpoint's folder without torch: its files, and whether they are what was saved."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from tablert_dist.storage.atomic import sha256

log = logging.getLogger(__name__)

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


def checkpoint_name(epoch: int) -> str:
    """Folder of the checkpoint made after `epoch` (counted from 1)."""
    return f"epoch_{epoch:03d}"


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first. One that was being written when its process died has another name."""
    return sorted(p.parent for p in folder.glob(f"epoch_*/{META}"))


def resumable(folder: Path) -> Path | None:
    """The newest undamaged checkpoint that holds the trainer's state."""
    for found in reversed(checkpoints(folder)):
        if not (found / TRAINER).is_file():
            continue
        wrong = damage(found)
        if wrong is None:
            return found
        log.warning("%s is damaged and passed over: %s", found, wrong)
    return None
