"""The answers of a stage as outputs of its graph: each cell's tag and probability beside its logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tablert_dist.heads.base import RELATION_PROBABILITIES, RELATION_TAGS, Axes, Stage

PREFIX = "answers/"
"""What the names of the nodes and tensors that are added begin with."""
TEMPERATURE = f"{PREFIX}temperature"
"""Name of the temperature of cells, where it is not 1."""
Steps = tuple[tuple[str, list[str], str, dict[str, int]], ...]
"""Nodes in their order: operator, inputs, output, attributes."""


def add_answers(graph: Path, stage: Stage, temperature: float = 1.0) -> None:
    """Append the stage's answers to the graph in the file, where it has any.

    Call it after quantisation: they read the logits in fp32, as they leave the graph, so that probabilities keep their
    digits in fp16 too. The tag is int32: half of int64's bytes on the way from a GPU. `temperature`: what the logits are
    divided by for the probabilities; the logits that leave the graph are as they were.
    """
    if not stage.answers:
        return
    proto = onnx.load(str(graph))
    last = f"{PREFIX}last_axis"
    proto.graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), last))
    read = "relation_logits"
    divided: Steps = ()
    if temperature != 1.0:
        read = f"{PREFIX}calibrated"
        proto.graph.initializer.append(numpy_helper.from_array(np.array(temperature, np.float32), TEMPERATURE))
        divided = (("Div", ["relation_logits", TEMPERATURE], read, {}),)
    steps: Steps = (
        *divided,
        ("ArgMax", ["relation_logits"], f"{PREFIX}tags", {"axis": -1, "keepdims": 0}),
        ("Cast", [f"{PREFIX}tags"], RELATION_TAGS, {"to": TensorProto.INT32}),
        ("Softmax", [read], f"{PREFIX}softmax", {"axis": -1}),
        ("ReduceMax", [f"{PREFIX}softmax", last], RELATION_PROBABILITIES, {"keepdims": 0}),
    )
    for kind, inputs, output, attributes in steps:
        proto.graph.node.append(helper.make_node(kind, inputs, [output], f"{PREFIX}{kind}", **attributes))
    types = {RELATION_TAGS: TensorProto.INT32, RELATION_PROBABILITIES: TensorProto.FLOAT}
    for name, axes in stage.answers.items():
        proto.graph.output.append(helper.make_tensor_value_info(name, types[name], _shape(axes)))
    onnx.save(proto, str(graph))


def _shape(axes: Axes) -> list[str]:
    assert all(axis.islower() for axis in axes), "the model fixes no axis of an answer"
    return list(axes)
