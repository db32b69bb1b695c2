"""fp16 graphs load, whatever the exporter writes: nodes whose type is an attribute, a default, or inside another graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.half import to_fp16
from tablert_dist.errors import InputError
from tablert_dist.inference.onnx_engine import import_onnxruntime

FLOAT = TensorProto.FLOAT
node = helper.make_node


def value(number: float) -> Any:
    return numpy_helper.from_array(np.array([number], np.float32))


def weight(name: str, numbers: Any, dtype: Any = np.float32) -> Any:
    return numpy_helper.from_array(np.array(numbers, dtype), name)


def model(nodes: list[Any], weights: tuple[Any, ...] = (), functions: tuple[Any, ...] = ()) -> Any:
    """A graph of `x` [n] to `y`, in fp32."""
    x, y = helper.make_tensor_value_info("x", FLOAT, ["n"]), helper.make_tensor_value_info("y", FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], list(weights))
    opsets = [helper.make_opsetid("", 20), *(helper.make_opsetid(f.domain, 1) for f in functions)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=list(functions))


def branch(name: str, nodes: list[Any]) -> Any:
    return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(name, FLOAT, None)])


def either(then: list[Any]) -> list[Any]:
    """`then` gives `t` where x has more than two numbers; else half of them."""
    branches = {"then_branch": branch("t", then), "else_branch": branch("e", [node("Mul", ["x", "half"], ["e"])])}
    return [
        node("Size", ["x"], ["size"]),
        node("Greater", ["size", "two"], ["more"]),
        node("If", ["more"], ["y"], **branches),
    ]


def loop() -> Any:
    info = helper.make_tensor_value_info
    nodes = [node("Shape", ["a"], ["s"]), node("ConstantOfShape", ["s"], ["c"], value=value(1.0))]
    nodes += [node("Add", ["a", "c"], ["b"]), node("Identity", ["go"], ["on"])]
    inputs = [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("a", FLOAT, ["n"])]
    return helper.make_graph(nodes, "body", inputs, [info("on", TensorProto.BOOL, []), info("b", FLOAT, ["n"])])


SHAPE = node("Shape", ["x"], ["s"])
SQUARE = [SHAPE, node("Concat", ["s", "s"], ["square"], axis=0)]
PRODUCT = node("MatMul", ["x", "e"], ["y"])
PLUS_C = node("Add", ["x", "c"], ["y"])
IF_WEIGHTS = (weight("two", 2, np.int64), weight("half", 0.5))
ZEROS = helper.make_function(
    "own",
    "zeros",
    ["a"],
    ["b"],
    [node("Shape", ["a"], ["s"]), node("ConstantOfShape", ["s"], ["c"]), node("Add", ["a", "c"], ["b"])],
    [helper.make_opsetid("", 20)],
)
GRAPHS = {
    "ConstantOfShape, its value left to the default": model([SHAPE, node("ConstantOfShape", ["s"], ["c"]), PLUS_C]),
    "ConstantOfShape": model([SHAPE, node("ConstantOfShape", ["s"], ["c"], value=value(2.0)), PLUS_C]),
    "ConstantOfShape as an output": model([SHAPE, node("ConstantOfShape", ["s"], ["y"], value=value(2.0))]),
    "ConstantOfShape before an operator without fp16": model(
        [SHAPE, node("ConstantOfShape", ["s"], ["k"], value=value(2.0)), node("CumSum", ["k", "axis"], ["c"]), PLUS_C],
        (weight("axis", 0, np.int64),),
    ),
    "Cast": model([SHAPE, node("Cast", ["s"], ["c"], to=FLOAT), PLUS_C]),
    "CastLike": model([SHAPE, node("CastLike", ["s", "x"], ["c"]), PLUS_C]),
    "Constant of numbers": model(
        [
            node("Constant", [], ["c"], value_floats=[1.0]),
            node("Constant", [], ["d"], value_float=2.0),
            node("Add", ["x", "c"], ["z"]),
            node("Add", ["z", "d"], ["y"]),
        ]
    ),
    "EyeLike, typed by its input": model(
        [*SQUARE, node("ConstantOfShape", ["square"], ["k"]), node("EyeLike", ["k"], ["e"]), PRODUCT]
    ),
    "EyeLike, typed by its attribute": model(
        [
            *SQUARE,
            node("ConstantOfShape", ["square"], ["k"], value=weight("", [1], np.int64)),
            node("EyeLike", ["k"], ["e"], dtype=FLOAT),
            PRODUCT,
        ]
    ),
    "Range": model(
        [
            node("Size", ["x"], ["n"]),
            node("Cast", ["n"], ["f"], to=FLOAT),
            node("Range", ["zero", "f", "one"], ["c"]),
            PLUS_C,
        ],
        (weight("zero", 0.0), weight("one", 1.0)),
    ),
    "RandomNormal": model([node("RandomNormal", [], ["c"], scale=1e-7, shape=[1]), PLUS_C]),
    "RandomNormalLike": model([node("RandomNormalLike", ["x"], ["c"], scale=1e-7), PLUS_C]),
    "a branch": model(
        either([SHAPE, node("ConstantOfShape", ["s"], ["c"]), node("Add", ["x", "c"], ["t"])]), IF_WEIGHTS
    ),
    "a loop": model([node("Loop", ["three", "", "x"], ["y"], body=loop())], (weight("three", 3, np.int64),)),
    "a function": model([node("zeros", ["x"], ["y"], domain="own")], functions=(ZEROS,)),
}


def computed(graph: Path) -> Any:
    session = import_onnxruntime().InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.array([1.0, 0.5, -3.0, 0.25], np.float32)})[0]


@pytest.mark.parametrize("name", GRAPHS)
def test_it_loads_and_computes_the_same(name: str, tmp_path: Path) -> None:
    full, half = tmp_path / "full.onnx", tmp_path / "half.onnx"
    onnx.save(GRAPHS[name], str(full))
    to_fp16(full, half)
    found = computed(half)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, computed(full), atol=1e-2)


def test_products_are_in_half_precision_all_the_same(tmp_path: Path) -> None:
    full, half = tmp_path / "full.onnx", tmp_path / "half.onnx"
    onnx.save(model([node("Mul", ["x", "w"], ["y"])], (weight("w", [0.1] * 4),)), str(full))
    to_fp16(full, half)
    assert [w.data_type for w in onnx.load(str(half)).graph.initializer] == [TensorProto.FLOAT16]


def test_what_loads_in_no_form_is_a_sentence_and_no_file(tmp_path: Path) -> None:
    """Range has no fp16, and the converter puts the casts of a branch outside it."""
    inside = [node("Cast", ["size"], ["f"], to=FLOAT), node("Range", ["zero", "f", "one"], ["r"])]
    graph = model(
        either([*inside, node("Add", ["x", "r"], ["t"])]), (*IF_WEIGHTS, weight("zero", 0.0), weight("one", 1.0))
    )
    onnx.save(graph, str(tmp_path / "full.onnx"))
    assert computed(tmp_path / "full.onnx").tolist() == [1.0, 1.5, -1.0, 3.25]
    with pytest.raises(InputError, match=r"full\.onnx: its form in fp16 cannot be loaded .* --precision fp32"):
        to_fp16(tmp_path / "full.onnx", tmp_path / "half.onnx")
    assert not (tmp_path / "half.onnx").exists()
