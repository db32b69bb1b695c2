"""A model is traced for ONNX once in a process of tests: that costs 8 s of a CPU, and many of them export the same tiny one.

What is kept is what `export_graph` wrote, by all that it depends on: the pickled model, the stage, the opset and the size
above which weights go into a second file. Commands in processes of their own trace each time.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Trace = Callable[..., None]
NAMES = ("name_or_path", "_name_or_path")
"""Where transformers notes the folder that a model, or its configuration, came from."""


def install() -> None:
    """Have the exporter remember, once a test has imported it."""
    module = sys.modules.get("export.graph")
    if module is not None and module.export_graph.__module__ != __name__:
        kept = Path(tempfile.mkdtemp(prefix="tablert-traces-"))
        atexit.register(shutil.rmtree, kept, ignore_errors=True)
        module.export_graph = remembered(module.export_graph, kept)  # type: ignore[attr-defined]


def remembered(trace: Trace, kept: Path) -> Trace:
    """`export_graph` that copies what it wrote before of the same model."""
    from export import size
    from export.graph import TABLE

    def export_graph(model: Any, path: Path, opset: int, stage: str = TABLE) -> None:
        # Under the name that it is asked for: a second file is named in the first.
        folder = kept / key_of(model.eval(), path.name, opset, stage, size.LIMIT)
        if not folder.is_dir():
            made = kept / "made"
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            trace(model, made / path.name, opset, stage)
            made.rename(folder)
        shutil.copytree(folder, path.parent, dirs_exist_ok=True)

    return export_graph


def key_of(model: Any, *rest: object) -> str:
    """A hash of the model, whatever folder its encoder came from."""
    import torch

    written = io.BytesIO()
    with _nameless(model.encoder):
        torch.save(model, written)
    digest = hashlib.sha256(repr(rest).encode())
    with zipfile.ZipFile(written) as parts:
        for name in sorted(parts.namelist()):
            if not name.endswith("serialization_id"):
                digest.update(parts.read(name))
    return digest.hexdigest()


@contextmanager
def _nameless(encoder: Any) -> Iterator[None]:
    owners = {id(one): one for m in encoder.modules() for one in (m, getattr(m, "config", m))}.values()
    names = [(one, key, one.__dict__[key]) for one in owners for key in NAMES if key in one.__dict__]
    try:
        for one, key, _ in names:
            one.__dict__[key] = ""
        yield
    finally:
        for one, key, name in names:
            one.__dict__[key] = name
