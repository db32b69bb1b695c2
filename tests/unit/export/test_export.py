"""The gates of the precisions, the bundle as one file, the pyfunc."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.gates import VerificationReport
from export.pyfunc import texts_of
from export.quantize import to_int8
from export.triton import write_repository
from export.verify import contract
from tablert_dist.config import PredictConfig
from tablert_dist.errors import InputError
from tablert_dist.heads.cnn.scheme import TableScheme
from tablert_dist.inference.predictor import Predictor
from tests.support.serving import make_bundle


def report(precision: str, **values: object) -> VerificationReport:
    made = VerificationReport(1e-4, precision, sentences=1000, identical=1000, max_difference=1e-5)
    for name, value in values.items():
        setattr(made, name, value)
    made.close()
    return made


def scores(lost: float) -> dict[str, dict[str, float]]:
    torch = {"ner": 0.8, "re": 0.6, "re_plus": 0.6}
    return {"torch": torch, "onnx": {**torch, "re_plus": torch["re_plus"] - lost}}


@pytest.mark.parametrize(
    ("precision", "values", "gate"),
    [
        ("fp32", {"max_difference": 2e-4}, "logits differ by 2.00e-04"),
        ("fp32", {"max_difference": float("nan")}, "logits differ"),
        ("fp32", {"identical": 998, "ties": 1}, "1 of 1000 sentences"),
        ("fp32", {"identical": 998, "ties": 2}, None),
        ("fp16", {"max_difference": 0.1, "identical": 995}, None),
        ("fp16", {"identical": 994}, "99.40 % of 1000 sentences"),
        ("int8", {"identical": 700, "f1": scores(0.004)}, None),
        ("int8", {"identical": 1000, "f1": scores(0.006)}, "RE+ F1 loses 0.60 points"),
        ("int8", {"identical": 1000, "f1": scores(-0.02)}, None),
    ],
)
def test_gates(precision: str, values: dict[str, object], gate: str | None) -> None:
    found = report(precision, **values)
    assert (gate is None and not found.failures) or (len(found.failures) == 1 and gate in found.failures[0])


def test_what_is_allowed_stays_on_record() -> None:
    found = report("fp16", identical=900)
    found.allow("a demonstration")
    assert not found.failures and found.to_json()["allowed"]["reason"] == "a demonstration"
    assert "90.00 %" in found.to_json()["allowed"]["failures"][0]
    assert any(line.startswith("ALLOWED (a demonstration)") for line in found.lines())
    good = report("fp16")
    good.allow("nothing to allow")
    assert not good.allowed


def test_an_unknown_hub_id_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="'nobody/nothing' is no folder here and cannot be had from the hub"):
        Predictor.from_pretrained("nobody/nothing")


def test_texts_of_what_mlflow_passes() -> None:
    import pandas as pd

    assert texts_of("one") == ["one"] and texts_of(["a", "b"]) == ["a", "b"]
    assert texts_of(pd.DataFrame({"text": ["a"], "id": [1]})) == ["a"]
    assert texts_of(pd.DataFrame({0: ["a", "b"]})) == ["a", "b"]
    assert texts_of({"text": ["a", "b"]}) == texts_of({"text": [["a", "b"]]}) == texts_of([["a"], "b"]) == ["a", "b"]
    assert texts_of(pd.DataFrame({"title": ["t"], "text": ["a"]})) == ["a"]
    for table in ({"a": ["x"], "b": ["y"]}, {"title": ["x"]}):
        with pytest.raises(ValueError, match="column 'text'"):
            texts_of(pd.DataFrame(table))
    for wrong in ([1], [None], [float("nan")], ["a", {}]):
        with pytest.raises(ValueError, match=r"text \d is no string"):
            texts_of(wrong)


def test_int8_leaves_small_weights_alone(tiny_encoder: str, tmp_path: Path) -> None:
    bundle = make_bundle(tiny_encoder, tmp_path)
    to_int8(bundle / "table.onnx", tmp_path / "small.onnx")
    assert (tmp_path / "small.onnx").read_bytes() == (bundle / "table.onnx").read_bytes(), "nothing in it is large"


def test_a_triton_repository_is_what_triton_publishes(tiny_encoder: str, tmp_path: Path) -> None:
    from google.protobuf import text_format

    model_config = pytest.importorskip("tritonclient.grpc.model_config_pb2").ModelConfig
    folder = write_repository(make_bundle(tiny_encoder, tmp_path), tmp_path / "repository", "tiny")
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config())
    assert config.name == folder.name == "tiny" and config.backend == "onnxruntime"
    assert config.max_batch_size > 1 and config.HasField("dynamic_batching")
    given = {tensor.name: list(tensor.dims) for tensor in (*config.input, *config.output)}
    axes = {name: len(dims) + 1 for name, dims in given.items()}
    assert axes == contract(TableScheme().stages["table"]), "the batch is the axis that max_batch_size stands for"
    assert given["entity_logits"][-1] == 1 + 4 * 3
    assert (folder / "1" / "model.onnx").read_bytes() == (tmp_path / "bundle" / "table.onnx").read_bytes()


def test_bound_outputs_are_the_same(tiny_encoder: str, tmp_path: Path) -> None:
    bundle = make_bundle(tiny_encoder, tmp_path)
    plain, bound = Predictor.load(bundle), Predictor.load(bundle)
    bound.engine.binds = True
    words = [["Ada", "works", "at", "Acme"], ["Bo"]]
    assert [s.entities for s in plain.annotate(words)] == [s.entities for s in bound.annotate(words)]
    (ours, _), (theirs, _) = plain.probabilities(words[0]), bound.probabilities(words[0])
    assert (ours == theirs).all()
    with pytest.raises(InputError, match="TensorrtExecutionProvider"):
        Predictor.load(bundle, PredictConfig(provider="tensorrt"))
