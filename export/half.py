"""The fp32 graph in half precision, in a form that onnxruntime loads. Inputs and outputs stay as they are."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from onnx import AttributeProto, helper, numpy_helper

from tablert_dist.errors import InputError

RETRIES = 40
"""Operators that may be left in fp32 one after the other, each because onnxruntime names it."""


def to_fp16(graph: Path, out: Path) -> None:
    """Weights and arithmetic in half precision; operators that have none are left in fp32 behind casts.

    What is written was loaded by onnxruntime. Raises InputError where no form of it loads; then `out` is not there.
    """
    import onnxruntime
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    full = _explicit(onnx.load(str(graph)))
    left: list[str] = []
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    reason = ""
    for _ in range(RETRIES):
        with warnings.catch_warnings():
            # Weights under fp16's smallest number become that; the verification is what judges it.
            warnings.simplefilter("ignore")
            copied = onnx.ModelProto()
            copied.CopyFrom(full)
            half = convert_float_to_float16(
                copied, keep_io_types=True, op_block_list=DEFAULT_OP_BLOCK_LIST, node_block_list=left
            )
        onnx.save(half, str(out))
        try:
            onnxruntime.InferenceSession(str(out), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's classes have no common one
            reason = str(error).splitlines()[0]
            named = [n.name for n in full.graph.node if _names(reason, n.name) and n.name not in left]
            if named:
                left.extend(named)
                continue
            break
        return
    out.unlink(missing_ok=True)
    raise InputError(
        f"{graph.name}: its form in fp16 cannot be loaded ({reason[:200]}); export it with --precision fp32"
    )


def _names(reason: str, node: str) -> bool:
    return re.search(rf"(?<![\w/.]){re.escape(node)}(?![\w/.])", reason) is not None


def _explicit(proto: Any) -> Any:
    """The graph with what the conversion does not see made plain: functions, types that are left to a default, names.

    onnxruntime's converter (1.31) looks for types in tensors and in the attributes of the nodes that it knows; earlier ones
    left a ConstantOfShape without a value in fp32, between operators in fp16.
    """
    proto = onnx.inliner.inline_local_functions(proto) if proto.functions else proto
    for number, node in enumerate(_nodes(proto.graph)):
        node.name = f"{node.op_type}_{number}"
        if node.op_type == "ConstantOfShape" and not node.attribute:
            node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(np.zeros(1, np.float32))))
        elif node.op_type == "Constant" and node.attribute[0].name in {"value_float", "value_floats"}:
            value = np.asarray(helper.get_attribute_value(node.attribute[0]), np.float32)
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(value)))
    return proto


def _nodes(graph: Any) -> Iterator[Any]:
    """Every node, those of branches and loops too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _nodes(attribute.g)
