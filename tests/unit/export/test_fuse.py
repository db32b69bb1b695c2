"""Graphs with onnxruntime's own operators: which nodes, the same numbers, masks of mixed lengths, and the way back."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import export.graph
from export.fuse import DOMAIN, fuse
from export.graph import export_bundle, export_graph
from export.quantize import parts_of, to_int8
from tablert_dist.config import ExportConfig, load_config, public_config
from tablert_dist.errors import InputError
from tablert_dist.heads.base import Arrays
from tablert_dist.heads.cnn.scheme import TABLE
from tablert_dist.inference.onnx_engine import OnnxEngine, import_onnxruntime
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model import build_model
from tablert_dist.model.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from tablert_dist.model.encoder import load_encoder
from tablert_dist.tags import TagSet
from tests.support.tiny import SCHEMA, WORDS, write_tiny_checkpoint, write_tiny_encoder

SENTENCES = [WORDS[:n] for n in (12, 1, 5, 2)]


def is_fused(graph: Path) -> bool:
    return any(node.domain == DOMAIN for node in onnx.load(str(graph)).graph.node)


def operators(graph: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(str(graph)).graph.node if node.domain == DOMAIN)


def checkpoint_of(encoder: str, folder: Path, **options: Any) -> Path:
    """Random weights, the head's scaled up so that it finds many entities and relations."""
    config = load_config(None, {"model.encoder": encoder, "model.cnn.hidden": [8], "model.none_bias": 0.0, **options})
    torch.manual_seed(4)
    parts = load_encoder(encoder)
    model = build_model(config.model, parts, TagSet(SCHEMA)).eval()
    with torch.no_grad():
        for weight in model.head.parameters():
            weight.mul_(2.5)
    save_checkpoint(
        folder, model, ModelCard(public_config(config), SCHEMA, parts.tokenizer, parts.pad_id, {"epoch": 1})
    )
    return folder


@pytest.fixture(scope="module")
def checkpoint(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tiny_encoder, tmp_path_factory.mktemp("fused") / "checkpoint")


@pytest.fixture(scope="module")
def bundle(checkpoint: Path) -> Path:
    report = export_bundle(checkpoint, checkpoint.with_name("bundle"), ExportConfig(), SENTENCES)
    assert report.fused == [TABLE] and any("--portable" in line for line in report.lines())
    return checkpoint.with_name("bundle")


@pytest.fixture(scope="module")
def portable(checkpoint: Path) -> Path:
    report = export_bundle(checkpoint, checkpoint.with_name("portable"), ExportConfig(portable=True), SENTENCES)
    assert report.fused == []
    return checkpoint.with_name("portable")


def batch(folder: Path, sentences: list[list[str]]) -> Arrays:
    predictor = Predictor.load(folder)
    return predictor.inputs(predictor.tokenizer.encode(sentences))


def test_a_layer_is_one_attention_and_portable_graphs_have_none(bundle: Path, portable: Path) -> None:
    assert operators(bundle / "table.onnx") == {"Attention": 2, "SkipLayerNormalization": 4, "BiasGelu": 2}
    assert is_fused(bundle / "table.onnx") and not is_fused(portable / "table.onnx")
    opsets = {o.domain for o in onnx.load(str(portable / "table.onnx")).opset_import}
    assert DOMAIN not in opsets


def test_mixed_lengths_give_what_each_sentence_gives_alone(bundle: Path, portable: Path) -> None:
    """A mask that is wrong lets a short sentence read its padding: with others, and shorter than they are."""
    fused, plain = (OnnxEngine({TABLE: folder / "table.onnx"}) for folder in (bundle, portable))
    together = fused.run(TABLE, batch(bundle, SENTENCES))
    expected = plain.run(TABLE, batch(bundle, SENTENCES))
    for row, words in enumerate(SENTENCES):
        n = len(words)
        alone = fused.run(TABLE, batch(bundle, [words]))
        upper = np.triu(np.ones((n, n), bool), 1)
        for other in (alone["relation_logits"][0], expected["relation_logits"][row]):
            np.testing.assert_allclose(
                together["relation_logits"][row, :n, :n][upper], other[:n, :n][upper], atol=2e-4, rtol=1e-4
            )
        for other in (alone["entity_logits"][0], expected["entity_logits"][row]):
            np.testing.assert_allclose(together["entity_logits"][row, :n], other[:n], atol=2e-4, rtol=1e-4)


def test_axes_stay_dynamic(bundle: Path) -> None:
    graph = onnx.load(str(bundle / "table.onnx")).graph
    axes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.input}
    assert axes == {
        "input_ids": ["batch", "subwords"],
        "attention_mask": ["batch", "subwords"],
        "word_subwords": ["batch", "words", "pieces"],
    }


@pytest.mark.slow
def test_the_packaged_encoders_graph_is_small(minilm: str, tmp_path: Path) -> None:
    model, _ = load_checkpoint(checkpoint_of(minilm, tmp_path / "checkpoint"))
    export_graph(model, tmp_path / "table.onnx", 20)
    assert fuse(tmp_path / "table.onnx", tmp_path / "fused.onnx")
    assert operators(tmp_path / "fused.onnx")["Attention"] == 6
    assert len(onnx.load(str(tmp_path / "fused.onnx")).graph.node) <= 180
    assert len(onnx.load(str(tmp_path / "table.onnx")).graph.node) <= 400
    # int8 is made of the graph that is not fused: of six layers each product by itself.
    parts = parts_of(onnx.load(str(tmp_path / "table.onnx")))
    assert {part: len(parts[part]) for part in ("values", "attention", "feed-forward in")} == {
        "values": 6, "attention": 18, "feed-forward in": 6,
    }  # fmt: skip
    to_int8(tmp_path / "table.onnx", tmp_path / "small.onnx")
    assert OnnxEngine({TABLE: tmp_path / "small.onnx"}).run(TABLE, batch(tmp_path / "checkpoint", SENTENCES))


def test_int8_is_not_portable(tiny_encoder: str, tmp_path: Path) -> None:
    made = checkpoint_of(tiny_encoder, tmp_path / "checkpoint")
    with pytest.raises(InputError, match="int8 graphs have operators of onnxruntime's own: leave --portable out"):
        export_bundle(made, tmp_path / "bundle", ExportConfig(precision="int8", portable=True), SENTENCES)


@pytest.mark.parametrize(
    "options",
    [
        {"model.cnn.kernel_size": 5},
        pytest.param({"model.cnn.hidden": []}, marks=pytest.mark.slow),
        pytest.param({"model.cnn.kernel_size": 1}, marks=pytest.mark.slow),
    ],
)
def test_every_kernel_is_exported_and_verified(tiny_encoder: str, tmp_path: Path, options: dict[str, Any]) -> None:
    """A kernel wider than the sentence too: verification has one of a single word."""
    made = checkpoint_of(tiny_encoder, tmp_path / "checkpoint", **options)
    report = export_bundle(made, tmp_path / "bundle", ExportConfig(allow="random weights"), SENTENCES)
    assert report.fused == [TABLE], "else it was exported again, without"
    assert report.max_difference < 1e-4 and report.identical == len(SENTENCES)


def other_encoders() -> dict[str, Any]:
    from transformers import (
        DistilBertConfig,
        DistilBertModel,
        ElectraConfig,
        ElectraModel,
        MPNetConfig,
        MPNetModel,
        RobertaConfig,
        RobertaModel,
    )

    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
    size |= {"vocab_size": 300, "max_position_embeddings": 66}
    distil = {
        "dim": 16,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 32,
        "vocab_size": 300,
        "max_position_embeddings": 64,
    }
    return {
        "roberta": lambda: RobertaModel(RobertaConfig(**size, pad_token_id=0)),
        "electra": lambda: ElectraModel(ElectraConfig(**size, embedding_size=16)),
        "mpnet": lambda: MPNetModel(MPNetConfig(**size, pad_token_id=1)),
        "distilbert": lambda: DistilBertModel(DistilBertConfig(**distil)),
    }


@pytest.mark.parametrize(
    "family",
    [
        pytest.param("roberta", marks=pytest.mark.slow),
        *(pytest.param(f, marks=pytest.mark.long) for f in ("electra", "mpnet", "distilbert")),
    ],
)
def test_other_encoders_are_exported_fused_or_not(family: str, tmp_path: Path) -> None:
    """MPNet adds positions to its scores, which no mask of keys replaces."""
    write_tiny_encoder(tmp_path, width=16)
    torch.manual_seed(0)
    other_encoders()[family]().save_pretrained(tmp_path)
    made = checkpoint_of(str(tmp_path), tmp_path / "checkpoint")
    report = export_bundle(made, tmp_path / "bundle", ExportConfig(), SENTENCES)
    assert report.failures == [] and report.max_difference < 1e-4 and report.entities
    words = [["Ada", "near", "Oslo"], WORDS[:9]]
    found = [Predictor.load(folder).annotate(words) for folder in (made, tmp_path / "bundle")]
    assert [(s.entities, s.relations) for s in found[0]] == [(s.entities, s.relations) for s in found[1]]


def test_fused_operators_that_compute_something_else_are_left_out(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(graph: Path, out: Path) -> bool:
        assert fuse(graph, out)
        proto = onnx.load(str(out))
        for node in proto.graph.node:
            if node.op_type == "Attention":
                del node.input[3:]  # no mask
        onnx.save(proto, str(out))
        return True

    monkeypatch.setattr(export.graph, "fuse", wrong)
    with caplog.at_level(logging.WARNING, "export"):
        report = export_bundle(checkpoint, tmp_path / "bundle", ExportConfig(), SENTENCES)
    assert report.failures == [] and report.fused == [] and "without fused operators" in caplog.text
    assert not is_fused(tmp_path / "bundle" / "table.onnx")


def test_what_cannot_be_fused_is_said_and_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    one = numpy_helper.from_array(np.ones(1, np.float32), "one")
    graph = helper.make_graph([helper.make_node("Add", ["x", "one"], ["y"])], "g", [x], [y], [one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, str(tmp_path / "add.onnx"))
    assert not fuse(tmp_path / "add.onnx", tmp_path / "out.onnx") and not (tmp_path / "out.onnx").exists()
    shutil.copyfile(__file__, tmp_path / "no.onnx")
    with caplog.at_level(logging.WARNING, "export"):
        assert not fuse(tmp_path / "no.onnx", tmp_path / "out.onnx")
    assert "no.onnx: not fused" in caplog.text
    assert import_onnxruntime().InferenceSession(str(tmp_path / "add.onnx"), providers=["CPUExecutionProvider"])
