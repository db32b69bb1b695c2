"""Every part of a bundle is checked for its type and its range, also where the hashes were made to fit again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from tablert_dist.errors import InputError
from tablert_dist.inference.predictor import Predictor
from tests.support import GOLDEN
from tests.support.altered import copied, edit, sealed_again

BUNDLES = GOLDEN / "bundle"
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
}


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        (
            "manifest.json",
            {"pad_id": 10**6},
            r"manifest\.json: pad_id = 1000000 is outside the vocabulary of \d+ subwords",
        ),
        ("manifest.json", {"pad_id": -1}, r"pad_id = -1: Input should be greater than or equal to 0"),
        ("manifest.json", {"pad_id": "0"}, r"pad_id = '0': Input should be a valid integer"),
        ("manifest.json", {"subword_limit": 0}, r"subword_limit = 0: Input should be greater"),
        ("manifest.json", {"subword_limit": 10**12}, r"subword_limit = 1000000000000: Input should be less"),
        ("manifest.json", {"opset": 99}, r"opset = 99: Input should be less than or equal to 24"),
        ("manifest.json", {"format": 2}, r"its format is 2, this version reads 1"),
        ("manifest.json", {"graphs": {}}, r"graphs = \{\}: Dictionary should have at least 1 item"),
        ("manifest.json", {"graphs": {"words": "table.onnx"}}, r"has the graphs words; a cnn model has table"),
        ("manifest.json", {"graphs": {"table": "../x"}}, r"graphs\.table = '\.\./x': it names a file outside"),
        ("manifest.json", {"files": []}, r"files = \[\]: Input should be a valid dictionary"),
        ("schema.json", {"entity_types": "Per"}, r"schema\.json: schema: not a schema \('entity_types' must be a list"),
        ("schema.json", {"relation_types": [1]}, r"'relation_types' must be a list of names"),
        ("schema.json", {"symmetric": ["no"]}, r"schema\.json: schema: symmetric types \['no'\]"),
        (
            "schema.json",
            {"entity_types": ["A", "B"]},
            r"table\.onnx: its output entity_logits has 13 of what .* make 9",
        ),
        ("config.json", {"model": None}, r"config\.json: model is damaged"),
        ("config.json", {"model": {"head": "gpt"}}, r"config\.json: model is damaged \(head = 'gpt'"),
        (
            "config.json",
            {"model": {"head": "spert"}},
            r"has the graphs table; a spert model has words, spans, relations",
        ),
        ("report.json", {"f1": {"onnx": {"ner": "high"}}}, r"report\.json is damaged \(f1\.onnx\.ner = 'high'"),
        ("report.json", {"verified_on": None}, r"report\.json is damaged \(verified_on = None"),
        ("tokenizer.json", {"model": {"type": "none"}}, r"tokenizer\.json: not a tokenizer"),
        (
            "tokenizer.json",
            {"post_processor": {**TEMPLATE, "special_tokens": {}}},
            r"tokenizer\.json: not a tokenizer: its post_processor uses the token '\[CLS\]', which it does not define",
        ),
        (
            "tokenizer.json",
            {"added_tokens": [{"id": 2**31}]},
            r"tokenizer\.json: not a tokenizer: it has the id 2147483648",
        ),
        ("tokenizer.json", {"pre_tokenizer": {"type": 3}}, r"tokenizer\.json: not a tokenizer"),
    ],
)
def test_a_value_out_of_its_range_is_named(tmp_path: Path, file: str, change: dict[str, Any], told: str) -> None:
    bundle = copied(BUNDLES / "cnn-fp32", tmp_path / "bundle")
    edit(bundle / file, lambda tree: tree.update(change))
    if file != "manifest.json":
        sealed_again(bundle)
    with pytest.raises(InputError, match=told) as refusal:
        Predictor.load(bundle)
    assert "\n" not in str(refusal.value) and str(bundle) in str(refusal.value)


def another_name(graph: Any) -> None:
    graph.output[0].name = "logits"
    graph.node[-1].output[0] = "logits"


def fixed_batch(graph: Any) -> None:
    graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2


def another_rank(graph: Any) -> None:
    del graph.input[2].type.tensor_type.shape.dim[2]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (another_name, r"table\.onnx: (its outputs are|onnxruntime cannot read the graph)"),
        (fixed_batch, r"table\.onnx: its input input_ids takes only 2 batch"),
        (another_rank, r"table\.onnx: (its input word_subwords is a|onnxruntime cannot read)"),
    ],
)
def test_a_graph_with_other_inputs_or_outputs_is_refused(
    tmp_path: Path, change: Callable[[Any], None], told: str
) -> None:
    bundle = copied(BUNDLES / "cnn-fp32", tmp_path / "bundle")
    proto = onnx.load(str(bundle / "table.onnx"))
    change(proto.graph)
    onnx.save(proto, str(bundle / "table.onnx"))
    sealed_again(bundle)
    with pytest.raises(InputError, match=told):
        Predictor.load(bundle)


@pytest.mark.parametrize("content", [b"", b"no graph", bytes(1000)])
def test_what_is_no_graph_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    bundle = copied(BUNDLES / "cnn-fp32", tmp_path / "bundle")
    (bundle / "table.onnx").write_bytes(content)
    sealed_again(bundle)
    with pytest.raises(InputError, match=r"table\.onnx: (onnxruntime cannot read the graph|its inputs are)"):
        Predictor.load(bundle)


def test_every_golden_bundle_opens_without_a_seal() -> None:
    for bundle in sorted(BUNDLES.iterdir()):
        assert "seal" not in json.loads((bundle / "manifest.json").read_text())
        assert Predictor.load(bundle).scores


def test_a_bundle_of_links_opens_as_the_hubs_cache_holds_it(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0123"
    copied(BUNDLES / "cnn-fp32", blobs)
    snapshot.mkdir(parents=True)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", file.name))
    assert Predictor.load(snapshot).entity_types == ("Loc", "Org", "Per")
    (blobs / "schema.json").write_text("{}")
    with pytest.raises(InputError, match=r"schema\.json was altered"):
        Predictor.load(snapshot)
