"""Models that somebody has altered: a byte, a key, or the hashes made to fit again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tablert_dist.inference.bundle import MANIFEST
from tablert_dist.storage.atomic import sha256
from tablert_dist.storage.checkpoint_folder import META
from tablert_dist.storage.records import SEAL, sealed


def copied(model: Path, to: Path) -> Path:
    """A copy of a bundle or a checkpoint."""
    shutil.copytree(model, to)
    return to


def flip(file: Path, at: float = 0.7) -> None:
    """Turn one bit of the file, at this share of its length."""
    data = bytearray(file.read_bytes())
    data[int(at * (len(data) - 1))] ^= 1
    file.write_bytes(bytes(data))


def edit(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file."""
    tree = json.loads(file.read_text(encoding="utf-8"))
    change(tree)
    file.write_text(json.dumps(tree), encoding="utf-8")


def sealed_again(model: Path, always: bool = False) -> None:
    """Make the record's hashes and its seal those of the files as they are now, as a forger would.

    `always`: also where the record has no seal yet.
    """
    record = model / (MANIFEST if (model / MANIFEST).exists() else META)
    tree = json.loads(record.read_text(encoding="utf-8"))
    tree["files"] = {name: sha256(model / name) for name in tree["files"] if (model / name).is_file()}
    record.write_text(json.dumps(sealed(tree) if always or SEAL in tree else tree), encoding="utf-8")


CODE = """from pathlib import Path

from transformers import BertConfig as Config
from transformers import BertModel as Model

Path({mark!r}).write_text("ran")
"""


def with_code(model: Path, mark: Path, kind: str = "unheard-of") -> None:
    """Let an encoder's folder name a module of its own, which writes `mark` when it is imported."""
    (model / "own.py").write_text(CODE.format(mark=str(mark)), encoding="utf-8")
    names = {"AutoConfig": "own.Config", "AutoModel": "own.Model"}
    edit(model / "config.json", lambda tree: tree.update(auto_map=names, model_type=kind))
