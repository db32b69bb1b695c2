"""int8 for real: a graph that is quantised and run, its parts, the order they are left out in, the gate, the size limit."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export import gates, graph, size
from export.graph import VerificationError, export_bundle, export_graph
from export.quantize import PARTS, parts_of, steps_of, to_int8
from tablert_dist.config import ExportConfig
from tablert_dist.errors import InputError
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model.checkpoint import load_checkpoint
from tablert_dist.schema import Sentence
from tests.support.tiny import WORDS, write_tiny_checkpoint, write_tiny_encoder


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint whose encoder is wide enough to be quantised."""
    folder = tmp_path_factory.mktemp("wide")
    encoder = write_tiny_encoder(folder, width=128)
    return write_tiny_checkpoint(str(encoder), folder / "checkpoint")


@pytest.fixture(scope="module")
def full(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its graph in fp32."""
    path = tmp_path_factory.mktemp("full") / "table.onnx"
    export_graph(load_checkpoint(wide)[0], path, 20)
    return path


@pytest.fixture(scope="module")
def gold(wide: Path) -> list[Sentence]:
    """What the model itself finds: torch's F1 is 1."""
    rng = np.random.default_rng(1)
    texts = [list(rng.choice(WORDS, 3 + i % 7)) for i in range(24)]
    return Predictor.from_pretrained(str(wide)).annotate(texts)


def logits(path: Path, ids: NDArray[np.int64], words: NDArray[np.int64]) -> NDArray[np.float32]:
    """Relation logits of sentences of one subword a word."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "word_subwords": words[..., None]}
    given = {i.name: given[i.name] if i.name in given else np.ones(words.shape, np.int64) for i in session.get_inputs()}
    found: NDArray[np.float32] = session.run(["relation_logits"], given)[0]
    return found


def test_a_quantised_graph_computes_what_the_graph_does(full: Path, tmp_path: Path) -> None:
    parts = parts_of(onnx.load(str(full)))
    assert all(parts[p] for p in ("values", "feed-forward in", "feed-forward out", "attention", "embeddings"))
    assert len(parts["values"]) == len(parts["feed-forward in"]) == len(parts["feed-forward out"]) == 2, "layers"
    assert len(parts["attention"]) == 3 * 2, "query, key and output of each layer"
    to_int8(full, tmp_path / "int8.onnx")
    stored = {t.name: t for t in onnx.load(str(tmp_path / "int8.onnx")).graph.initializer}
    factors = {
        n.input[1] for n in onnx.load(str(tmp_path / "int8.onnx")).graph.node if n.op_type == "MatMulIntegerToFloat"
    }
    assert factors, "products of integers"
    for name in factors:
        # Two products of uint8 and weight are added in 16 bits by a CPU without VNNI.
        assert 2 * 255 * int(np.abs(numpy_helper.to_array(stored[name]).astype(int)).max()) < 2**15
    largest = max(np.prod(t.dims) for t in stored.values() if t.data_type == TensorProto.FLOAT)
    assert largest < 128 * 128, "no large weight stays in fp32, and none is kept that nothing reads"
    rng = np.random.default_rng(0)
    ids, words = rng.integers(5, 100, (3, 9)), np.tile(np.arange(1, 8), (3, 1))
    exact, found = logits(full, ids, words), logits(tmp_path / "int8.onnx", ids, words)
    error = np.sqrt(((found - exact) ** 2).mean()) / exact.std()
    assert 0 < error < 0.05


def test_a_sentence_does_not_depend_on_its_batch(full: Path, tmp_path: Path) -> None:
    """One scale for a whole tensor would be set by the other sentences."""
    to_int8(full, tmp_path / "int8.onnx")
    rng = np.random.default_rng(0)
    ids, words = rng.integers(5, 100, (8, 9)), np.tile(np.arange(1, 8), (8, 1))
    together = logits(tmp_path / "int8.onnx", ids, words)
    for i in range(8):
        alone = logits(tmp_path / "int8.onnx", ids[i : i + 1], words[i : i + 1])
        np.testing.assert_allclose(together[i], alone[0], atol=2e-4)


def test_rows_have_scales_of_their_own_and_gelu_all_levels(tmp_path: Path) -> None:
    """x @ W and gelu(x) @ W, where rows differ a thousandfold and one is zero."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(128, 160)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["plain"], "plain"),
        helper.make_node("Gelu", ["x"], ["g"], "g"),
        helper.make_node("MatMul", ["g", "w"], ["gelu"], "after_gelu"),
    ]
    float_ = TensorProto.FLOAT
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", float_, ["b", "n", 128])],
        [helper.make_tensor_value_info(name, float_, ["b", "n", 160]) for name in ("plain", "gelu")],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(tmp_path / "full.onnx")
    )
    to_int8(tmp_path / "full.onnx", tmp_path / "int8.onnx")
    x = rng.normal(size=(2, 3, 128)).astype(np.float32) * np.float32([[[1], [1000], [0]], [[0.1], [3], [1]]])
    run = [onnxruntime.InferenceSession(str(tmp_path / f"{n}.onnx")).run(None, {"x": x}) for n in ("full", "int8")]
    for exact, found in zip(*run, strict=True):
        assert exact.shape == found.shape
        error = np.abs(found - exact).max(-1)
        assert (error <= 0.03 * np.abs(exact).max(-1) + 0.02).all(), "of each row, by its own size"
    assert not run[1][0][0, 2].any(), "a row of zeros stays one"


def test_one_part_more_is_left_out_at_each_step(full: Path, tmp_path: Path) -> None:
    steps = steps_of([full])
    present = [part for part in PARTS if parts_of(onnx.load(str(full)))[part]]
    assert steps[0] == () and steps[-1] == tuple(present[:-1]) and present[-1] == "embeddings"
    sizes = []
    for index, leave in enumerate(steps):
        to_int8(full, tmp_path / f"{index}.onnx", leave)
        sizes.append((tmp_path / f"{index}.onnx").stat().st_size)
    assert sizes == sorted(set(sizes)), "each leaves more in fp32"


def damaging(until: Collection[str], tried: list[tuple[str, ...]]) -> Callable[..., None]:
    """`to_int8` whose entity layer is turned around until all of `until` are left out."""

    def write(path: Path, out: Path, leave: Collection[str] = ()) -> None:
        tried.append(tuple(leave))
        to_int8(path, out, leave)
        if not set(until) <= set(leave):
            proto = onnx.load(str(out))
            final = next(n for n in proto.graph.node if "entity_logits" in n.output)
            negated = helper.make_node("Neg", ["damaged"], ["entity_logits"])
            final.output[list(final.output).index("entity_logits")] = "damaged"
            proto.graph.node.append(negated)
            onnx.save(proto, str(out))

    return write


def test_the_first_step_that_keeps_f1_is_written(
    wide: Path, full: Path, gold: list[Sentence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[str, ...]] = []
    monkeypatch.setattr(graph, "to_int8", damaging(("values", "feed-forward in"), tried))
    # The random model decides by a hair; the damage costs nearly all of F1.
    monkeypatch.setattr(gates, "LOST_F1", 0.3)
    report = export_bundle(wide, tmp_path / "out", ExportConfig(precision="int8"), gold=gold)
    assert report.left_in_fp32 == ["values", "feed-forward in"]
    assert tried == steps_of([full])[:3] and not report.failures
    assert Predictor.from_pretrained(str(tmp_path / "out")).annotate([list(gold[0].words)])


def test_a_graph_that_no_step_mends_is_refused(
    wide: Path, full: Path, gold: list[Sentence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[str, ...]] = []
    monkeypatch.setattr(graph, "to_int8", damaging(("nothing",), tried))
    with pytest.raises(VerificationError, match=r"NER F1 loses \d+\.\d\d points, more than 0\.5"):
        export_bundle(wide, tmp_path / "out", ExportConfig(precision="int8"), gold=gold)
    assert tried == [*steps_of([full]), ()]
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_a_graph_above_one_file_is_quantised_or_refused(
    wide: Path, gold: list[Sentence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is lowered to half of the model: the exporter writes its weights into a second file."""
    model, _ = load_checkpoint(wide)
    monkeypatch.setattr(size, "LIMIT", sum(p.nbytes for p in model.parameters()) // 2)
    export_graph(model, tmp_path / "table.onnx", 20)
    assert (tmp_path / "table.onnx.data").stat().st_size > size.LIMIT
    for precision in ("fp32", "fp16"):
        with pytest.raises(InputError, match=r"table\.onnx: .* GB of weights, .* --precision int8"):
            export_bundle(wide, tmp_path / "out", ExportConfig(precision=precision), gold=gold[:20])  # type: ignore[arg-type]
    config = ExportConfig(precision="int8", allow="a random model decides by a hair")
    export_bundle(wide, tmp_path / "out", config, gold=gold[:20])
    assert not list((tmp_path / "out").glob("*.data"))
    assert Predictor.from_pretrained(str(tmp_path / "out")).annotate([list(gold[0].words)])
