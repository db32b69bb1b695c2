"""The exported graph with onnxruntime's own operators: attention, bias with GELU, sum with layer norm in one node each."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

log = logging.getLogger(__name__)
DOMAIN = "com.microsoft"
"""Operators that onnxruntime has and other runtimes lack."""
BIAS, MASK = 5, 3
"""Inputs of com.microsoft's Attention: what is added to its scores [B, 1, S, S], and the keys' mask [B, S]."""
KEYS = "fused/key_mask"


def fuse(graph: Path, out: Path) -> bool:
    """Write the graph with fused operators to `out`; False and no file where nothing in it can be fused.

    Which are replaced depends on what the exporter made of the encoder's architecture; dynamic axes stay dynamic.
    """
    import onnx_ir
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    try:
        model, counts = optimize_for_ort(onnx_ir.load(str(graph)))
    except Exception as error:  # a rule that meets what it was not written for may raise anything
        log.warning("%s: not fused, onnxscript fails: %s", graph.name, (str(error).splitlines() or [repr(error)])[0])
        return False
    if not any(counts.values()):
        return False
    proto = onnx_ir.to_proto(model)
    if strange := _strange(proto):
        # onnxruntime has RMS norm in ONNX's own domain, where ONNX lacks it: no other tool would take the file.
        log.info("%s: not fused, ONNX has no %s", graph.name, ", ".join(strange))
        return False
    _join_weights(proto.graph)
    _mask_keys(proto)
    _drop_unused(proto.graph)
    onnx.save(proto, str(out))
    return True


def _strange(proto: Any) -> list[str]:
    """Operators that ONNX's own domain lacks and the graph has there."""
    opset = next(each.version for each in proto.opset_import if each.domain in {"", "ai.onnx"})
    known = {
        schema.name
        for schema in onnx.defs.get_all_schemas_with_history()
        if not schema.domain and schema.since_version <= opset
    }
    return sorted({node.op_type for node in proto.graph.node if node.domain in {"", "ai.onnx"}} - known)


def _join_weights(graph: Any) -> None:
    """Compute each Concat of weights once, here, and not at each start of a session."""
    weights = {weight.name: weight for weight in graph.initializer}
    for node in list(graph.node):
        if node.op_type == "Concat" and all(name in weights for name in node.input):
            joined = np.concatenate([numpy_helper.to_array(weights[n]) for n in node.input], node.attribute[0].i)
            graph.initializer.append(numpy_helper.from_array(joined, node.output[0]))
            graph.node.remove(node)


def _mask_keys(proto: Any) -> None:
    """Give Attention the mask [B, S] itself where all that is added to its scores is 0 and, at padding, the lowest number.

    The bias [B, 1, S, S] costs twenty nodes and S² numbers a sentence; at a masked key both give exactly 0.
    """
    graph = proto.graph
    attentions = [node for node in graph.node if node.op_type == "Attention" and node.domain == DOMAIN]
    biased = [node for node in attentions if len(node.input) == BIAS + 1 and not node.input[MASK]]
    biases = {node.input[BIAS] for node in biased}
    if not biases or not all(_is_key_mask(proto, bias) for bias in biases):
        return
    graph.node.insert(0, helper.make_node("Cast", ["attention_mask"], [KEYS], KEYS, to=TensorProto.INT32))
    for node in biased:
        node.input[MASK] = KEYS
        del node.input[MASK + 1 :]


def _is_key_mask(proto: Any, bias: str) -> bool:
    """Return whether a tensor depends on `attention_mask` alone and is what a mask of its keys adds; tried on three."""
    from tablert_dist.inference.onnx_engine import import_onnxruntime

    if _inputs_of(proto.graph, bias) != {"attention_mask"}:
        return False
    part = onnx.utils.Extractor(proto).extract_model(["attention_mask"], [bias])
    session = import_onnxruntime().InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"])
    for shape in ((1, 1), (2, 5), (3, 7)):
        mask = np.arange(shape[0] * shape[1]).reshape(shape) % 4 != 1
        (found,) = session.run(None, {"attention_mask": mask.astype(np.int64)})
        if found.ndim != 4 or found.dtype != np.float32:
            return False
        kept, masked = np.broadcast_arrays(found == 0, mask[:, None, None])
        if not (kept == masked).all() or not (found[found != 0] <= -1e4).all():
            return False
    return True


def _inputs_of(graph: Any, tensor: str) -> set[str]:
    """The graph's inputs that a tensor is computed from."""
    made_by = {name: node for node in graph.node for name in node.output}
    names, seen, inputs = [tensor], set(), {value.name for value in graph.input}
    while names:
        name = names.pop()
        if name not in seen:
            seen.add(name)
            names.extend(made_by[name].input if name in made_by else ())
    return seen & inputs


def _drop_unused(graph: Any) -> None:
    """Remove the nodes and weights that no output depends on."""
    wanted = {value.name for value in graph.output}
    for node in reversed(list(graph.node)):
        if wanted.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            # An output without a name is not computed: SkipLayerNormalization's sum is as large as its result.
            for place in range(len(node.output) - 1, 0, -1):
                if node.output[place] in wanted:
                    break
                del node.output[place]
            wanted.update(node.input)
    for weight in [weight for weight in graph.initializer if weight.name not in wanted]:
        graph.initializer.remove(weight)
