"""What one ONNX file holds: a protobuf ends at 2 GiB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from tablert_dist.errors import InputError

LIMIT = 2**31 - 2**24
"""Bytes of weights that one file holds; the rest of the graph needs room too."""


def check_size(proto: Any, path: Path) -> None:
    """Raise InputError where one file cannot hold the weights of a graph that is loaded."""
    size = sum(len(weight.raw_data) for weight in proto.graph.initializer)
    if size > LIMIT:
        raise InputError(
            f"{path.name}: {size / 1e9:.2g} GB of weights, and one ONNX file holds {LIMIT / 1e9:.2g}: export with "
            f"--precision int8, or train on a smaller encoder"
        )


def into_one_file(graph: Path) -> None:
    """Take the weights that the exporter wrote beside a graph into it. Raise InputError where they are too many."""
    if Path(f"{graph}.data").exists():
        proto = onnx.load(str(graph))
        check_size(proto, graph)
        onnx.save(proto, str(graph))
