"""The fp32 graph in int8, for CPUs. Inputs and outputs stay as they are.

Weights have a scale a column, activations a scale a row, computed as they come. One scale for a whole tensor, which
`onnxruntime.quantization.quantize_dynamic` gives, is set by the largest of all words' values: a BERT has a few of 30
where the others are below 1, and every other word loses its digits.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.fuse import DOMAIN
from export.size import check_size

PARTS = ("values", "feed-forward in", "feed-forward out", "attention", "taps", "first layer", "embeddings")
"""What int8 may be left out of, in this order, where F1 suffers. By damage over cost, measured (BENCHMARKS.md, "int8").

The embeddings come last: they are most of the file, lose little, and are no product.
"""
SCOPES = "pkg.torch.onnx.name_scopes"
"""Where the exporter writes the modules that a node came from."""
SMALL = 16_384
"""Weights below this are left alone: there is nothing to gain."""
ENTITY = "'head.entity'"
"""Ends the scope of the layer of entity tags, which stays fp32 however large: its few numbers decide everything."""
GELU = 0.17
"""GELU is nowhere below −0.17: shifted by it, its values take all 256 levels and not 129."""
WEIGHT_LEVELS = 63
"""Largest integer of a product's weights. A CPU without VNNI adds two products of uint8 and int8 in 16 bits, where more than
2 · 255 · 64 is cut off: with 127 levels its sums would be others, silently."""
VALUE = re.compile(r"\.(value|v_lin|value_proj|v_proj|v)'")
"""Ends the scope of an attention layer's value projection: BERT's, DistilBERT's, DeBERTa's, ALBERT's, T5's."""
PREFIX = "int8/"
"""What the names that are added begin with."""


def to_int8(graph: Path, out: Path, leave: Collection[str] = ()) -> None:
    """Write `graph` to `out` with weights in int8; the `PARTS` named in `leave` stay fp32.

    `graph` may keep its weights in files of their own, `out` is one file. Raises InputError where that would be too
    large.
    """
    proto = onnx.load(str(graph))
    parts = parts_of(proto)
    nodes = {name for part, names in parts.items() if part not in leave for name in names}
    if nodes:
        _Rewriting(proto).apply(nodes)
    check_size(proto, out)
    onnx.save(proto, str(out))


def steps_of(graphs: Iterable[Path]) -> list[tuple[str, ...]]:
    """Return what to leave in fp32, step by step, until F1 is kept: nothing, then one part more that the graphs have."""
    found = [parts_of(onnx.load(str(graph))) for graph in graphs]
    present = [part for part in PARTS if any(parts[part] for parts in found)]
    return [tuple(present[:count]) for count in range(max(1, len(present)))]


def parts_of(model: Any) -> dict[str, list[str]]:
    """Names of the nodes with a large constant weight, by part of the model."""
    shapes = {i.name: tuple(i.dims) for i in model.graph.initializer}
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    for node in model.graph.node:
        weight = {"MatMul": 1, "Gather": 0}.get(node.op_type)
        shape = shapes.get(node.input[weight], ()) if weight is not None else ()
        if len(shape) == 2 and np.prod(shape) >= SMALL:
            scope = next((p.value for p in node.metadata_props if p.key == SCOPES), "")
            if ENTITY not in scope:
                found[_part_of(node.op_type, scope, shape)].append(node.name)
    return found


def _part_of(kind: str, scope: str, shape: tuple[int, ...]) -> str:
    if kind == "Gather":
        return "embeddings"
    if "'head.last'" in scope:
        return "taps"
    if not ("'encoder'" in scope or "'model.encoder'" in scope):
        return "first layer"
    if VALUE.search(scope):
        return "values"
    if shape[0] == shape[1]:
        return "attention"
    return "feed-forward in" if shape[0] < shape[1] else "feed-forward out"


class _Rewriting:
    """Replaces products and look-ups of a graph, in place.

    x @ W becomes row · (q(x) @ q(W) · column): `row` is a scale for each row of x, `column` one for each column of W.
    The integers are uint8 (x, 128 is zero) and int8 (W): the pair that processors multiply fastest. Operators of
    onnxruntime (com.microsoft) are used where ONNX has none that scales the sums at once.
    """

    def __init__(self, proto: Any) -> None:
        self.graph = proto.graph
        self.weights = {tensor.name: tensor for tensor in proto.graph.initializer}
        self.makers = {output: node.op_type for node in proto.graph.node for output in node.output}
        self.rows: dict[str, bool] = {}
        """Inputs that are quantised already: those of query, key and value are the same. Whether shifted."""
        self.added: dict[str, Any] = {}
        self.nodes: list[Any] = []
        if not any(opset.domain == DOMAIN for opset in proto.opset_import):
            proto.opset_import.append(helper.make_opsetid(DOMAIN, 1))

    def apply(self, names: Collection[str]) -> None:
        """Rewrite the nodes of these names; weights that nothing reads any more are dropped."""
        for node in self.graph.node:
            if node.name not in names:
                # A copy: emptying the graph's list frees what is in it.
                self.nodes.append(type(node).FromString(node.SerializeToString()))
            elif node.op_type == "Gather":
                self._look_up(node)
            else:
                self._product(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        read = {name for node in self.nodes for name in node.input}
        for index in reversed(range(len(self.graph.initializer))):
            if self.graph.initializer[index].name not in read:
                del self.graph.initializer[index]
        self.graph.initializer.extend(self.added.values())

    def _product(self, node: Any) -> None:
        x, y = node.input[0], f"{PREFIX}{node.output[0]}"
        integers, scales, weight = self._weight(node.input[1], axis=0)
        if x not in self.rows:
            self._quantise_rows(x, weight.shape[0])
        shifted = self.rows[x]
        x = f"{PREFIX}{x}"
        one, zero = self._constant("one", np.float32(1)), self._constant("weight_zero", np.int8(0))
        level = self._constant("zero" if shifted else "middle", np.uint8(0 if shifted else 128))
        product = [f"{x}/q", integers, one, scales, level, zero]
        self._add("MatMulIntegerToFloat", product, f"{y}/sums", domain=DOMAIN)
        self._add("Mul", [f"{y}/sums", f"{x}/column"], f"{y}/rows")
        last = f"{y}/rows"
        if shifted:
            # (x + 0.17) @ W is too large by 0.17 times the sum of W's columns, of W as it was rounded.
            excess = (-GELU * weight.sum(0)).astype(np.float32)
            self._add("Add", [last, self._constant(f"{y}/shift", excess)], f"{y}/unshifted")
            last = f"{y}/unshifted"
        self._add("Concat", [f"{x}/shape", self._constant(f"{y}/width", [weight.shape[1]])], f"{y}/shape", axis=0)
        self._add("Reshape", [last, f"{y}/shape"], node.output[0])

    def _quantise_rows(self, x: str, width: int) -> None:
        """Add x/q, the rows as integers; x/column, their scales; x/shape, of x without its last axis."""
        shifted = self.rows[x] = self.makers.get(x) == "Gelu"
        name, last = f"{PREFIX}{x}", self._constant("last", [-1])
        self._add("Shape", [x], f"{name}/shape", start=0, end=-1)
        self._add("Reshape", [x, self._constant(f"{name}/flat", [-1, width])], f"{name}/rows")
        if shifted:
            self._add("Add", [f"{name}/rows", self._constant("gelu", np.float32(GELU))], f"{name}/positive")
        else:
            self._add("Abs", [f"{name}/rows"], f"{name}/positive")
        self._add("ReduceMax", [f"{name}/positive", last], f"{name}/largest", keepdims=0)
        levels = self._constant("levels_256" if shifted else "levels_127", np.float32(1 / (255 if shifted else 127)))
        self._add("Mul", [f"{name}/largest", levels], f"{name}/exact")
        # A row of zeros must not be divided by zero.
        self._add("Max", [f"{name}/exact", self._constant("tiny", np.float32(1e-12))], f"{name}/scale")
        self._add("Shape", [f"{name}/scale"], f"{name}/count")
        middle = numpy_helper.from_array(np.array([0 if shifted else 128], np.uint8))
        self._add("ConstantOfShape", [f"{name}/count"], f"{name}/zeros", value=middle)
        source = f"{name}/positive" if shifted else f"{name}/rows"
        self._add("QuantizeLinear", [source, f"{name}/scale", f"{name}/zeros"], f"{name}/q", axis=0)
        self._add("Unsqueeze", [f"{name}/scale", last], f"{name}/column")

    def _look_up(self, node: Any) -> None:
        """Embeddings with a scale a row: one for all would be set by the longest of 30,000."""
        table, ids = node.input
        integers, scales, _ = self._weight(table, axis=1)
        y = f"{PREFIX}{node.output[0]}"
        self._add("Gather", [integers, ids], f"{y}/q")
        self._add("Gather", [scales, ids], f"{y}/scale")
        self._add("Cast", [f"{y}/q"], f"{y}/float", to=TensorProto.FLOAT)
        self._add("Mul", [f"{y}/float", f"{y}/scale"], node.output[0])

    def _weight(self, name: str, axis: int) -> tuple[str, str, NDArray[np.float32]]:
        """Return the names of the integers and of the scales along the other axis, and the weight as rounded."""
        weight = numpy_helper.to_array(self.weights[name])
        levels = np.float32(WEIGHT_LEVELS if axis == 0 else 127)
        scale = np.maximum(np.abs(weight).max(axis, keepdims=True), 1e-12).astype(np.float32) / levels
        integers = np.clip(np.rint(weight / scale), -levels, levels).astype(np.int8)
        names = [
            self._constant(f"{name}/q{axis}", integers),
            self._constant(f"{name}/scale{axis}", scale.reshape(-1) if axis == 0 else scale),
        ]
        return names[0], names[1], integers * scale

    def _constant(self, name: str, value: NDArray[Any] | np.generic | Iterable[int]) -> str:
        name = name if name.startswith(PREFIX) else f"{PREFIX}{name}"
        array = np.array(value, np.int64) if isinstance(value, list) else np.asarray(value)
        self.added.setdefault(name, numpy_helper.from_array(array, name))
        return name

    def _add(self, kind: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> None:
        name = f"{PREFIX}{kind}/{output.removeprefix(PREFIX)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name, domain=domain, **attributes))
