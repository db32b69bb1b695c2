"""The fp32 graph in dynamic int8, for CPUs. Inputs and outputs stay as they are."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx

PARTS = ("taps", "first layer", "embeddings", "encoder")
"""What int8 may be left out of, in this order, where F1 suffers. Each was measured (BENCHMARKS.md, "int8")."""
SCOPES = "pkg.torch.onnx.name_scopes"
"""Where the exporter writes the modules that a node came from."""
SMALL = 16_384
"""Weights below this are left alone: there is nothing to gain, and the NER layer's 187 numbers decide everything."""

WEIGHT_OF = {"MatMul": 1, "Gather": 0, "Attention": 1}
"""Which input is the weight of the operators that int8 quantises."""


def to_int8(graph: Path, out: Path, leave: Collection[str] = ()) -> None:
    """Weights in int8 by column, activations quantised as they come; the `PARTS` named in `leave` stay fp32."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    parts = parts_of(onnx.load(str(graph)))
    nodes = [name for part, names in parts.items() if part not in leave for name in names]
    if not nodes:
        # onnxruntime takes an empty list for all nodes, the small ones too.
        shutil.copyfile(graph, out)
        return
    quiet = logging.getLogger()
    level = quiet.level
    # It advises, through the root logger, on preparing the graph for static quantisation.
    quiet.setLevel(logging.ERROR)
    try:
        quantize_dynamic(
            str(graph),
            str(out),
            op_types_to_quantize=list(WEIGHT_OF),
            nodes_to_quantize=nodes,
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
    finally:
        quiet.setLevel(level)


def parts_of(model: Any) -> dict[str, list[str]]:
    """Names of the nodes with a large constant weight, by part of the model."""
    sizes = {i.name: int(np.prod(i.dims)) for i in model.graph.initializer}
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    for node in model.graph.node:
        weight = WEIGHT_OF.get(node.op_type)
        if weight is None or sizes.get(node.input[weight], 0) < SMALL:
            continue
        scope = next((p.value for p in node.metadata_props if p.key == SCOPES), "")
        if node.op_type == "Gather":
            found["embeddings"].append(node.name)
        elif "'head.last'" in scope:
            found["taps"].append(node.name)
        elif "'encoder'" in scope or "'model.encoder'" in scope:
            found["encoder"].append(node.name)
        else:
            found["first layer"].append(node.name)
    return found
