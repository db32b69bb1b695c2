"""Temperatures change probabilities, never labels: of every head, in torch and onnxruntime, in checkpoints and bundles."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from export.answers import TEMPERATURE
from export.graph import export_bundle
from export.triton import write_repository
from export.verify import verify
from tablert_dist.config import ExportConfig, PredictConfig, load_config, public_config
from tablert_dist.errors import InputError
from tablert_dist.gpu import gpu_path
from tablert_dist.heads import HEADS
from tablert_dist.heads.cnn.scheme import TABLE
from tablert_dist.heads.sequences import softmax
from tablert_dist.heads.temperatures import NEUTRAL, Fitted, Temperatures
from tablert_dist.inference.bundle import MANIFEST, open_bundle
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model import build_model
from tablert_dist.model.checkpoint import (
    ModelCard,
    copy_calibrated,
    keep_calibration,
    load_checkpoint,
    read_card,
    save_checkpoint,
)
from tablert_dist.model.encoder import load_encoder
from tablert_dist.schema import Sentence
from tablert_dist.storage.checkpoint_folder import META, damage
from tablert_dist.tags import TagSet
from tests.support import GOLDEN
from tests.support.tiny import SCHEMA, WORDS

TEXTS = [[WORDS[(i * 5 + j * 7) % len(WORDS)] for j in range(4 + i % 6)] for i in range(12)]
LONG = [WORDS[j * 7 % len(WORDS)] for j in range(90)]
"""Over the encoder's limit: read by windows, which disagree."""
FITTED = Fitted(temperatures=Temperatures(tags=2.5, cells=4.0), note="fitted on tiny dev")
SETTINGS: dict[str, dict[str, Any]] = {
    "cnn": {},
    "viterbi": {"model.cnn.decoding": "viterbi"},
    "tablert": {"model.head": "tablert"},
    "spert": {"model.head": "spert", "model.spert.max_span": 3},
}


def write_model(encoder: str, folder: Path, settings: dict[str, Any]) -> Path:
    """A head whose random weights are scaled up, so that it finds many entities and relations."""
    config = load_config(
        None, {"model.encoder": encoder, "model.cnn.hidden": [16, 8], "model.none_bias": 0.0, **settings}
    )
    torch.manual_seed(4)
    parts = load_encoder(encoder)
    model = build_model(config.model, parts, TagSet(SCHEMA)).eval()
    with torch.no_grad():
        for name, weight in model.head.named_parameters():
            weight.mul_(1.0 if name.startswith("entity") else 2.5)
    save_checkpoint(
        folder, model, ModelCard(public_config(config), SCHEMA, parts.tokenizer, parts.pad_id, {"epoch": 1})
    )
    return folder


@pytest.fixture(scope="module")
def models(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """By setting a checkpoint without temperatures, and the same with `FITTED`."""
    folder, found = tmp_path_factory.mktemp("models"), {}
    for name, settings in SETTINGS.items():
        plain = write_model(tiny_encoder, folder / name, settings)
        copy_calibrated(plain, folder / f"{name}-calibrated", FITTED)
        found[name] = plain, folder / f"{name}-calibrated"
    return found


Bundle = Callable[[str], Path]


@pytest.fixture(scope="module")
def bundle(models: dict[str, tuple[Path, Path]], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The calibrated model of a head, exported when it is first asked for."""
    folder = tmp_path_factory.mktemp("bundles")

    def of(name: str) -> Path:
        if not (folder / name).exists():
            export_bundle(models[name][1], folder / name, ExportConfig(allow="random weights"), TEXTS)
        return folder / name

    return of


def labels(found: list[Sentence]) -> list[Any]:
    return [(s.entities, s.relations) for s in found]


def probabilities(found: list[Sentence]) -> list[float]:
    return [item.probability or 0.0 for s in found for item in (*s.entities, *s.relations)]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_temperature_changes_every_probability_and_no_label(name: str, models: dict[str, tuple[Path, Path]]) -> None:
    plain, calibrated = (Predictor.load(folder).annotate([*TEXTS, LONG]) for folder in models[name])
    assert labels(plain) == labels(calibrated)
    assert sum(len(s.entities) for s in plain) > 20 and sum(len(s.relations) for s in plain) > 10
    before, after = probabilities(plain), probabilities(calibrated)
    moved = [abs(a - b) > 1e-6 for a, b in zip(before, after, strict=True)]
    assert np.mean(moved) > 0.95, "of two labels at 0.5 a temperature moves nothing"


def test_a_beam_follows_the_same_sequence(models: dict[str, tuple[Path, Path]]) -> None:
    config = PredictConfig(beam=3)
    plain, calibrated = (Predictor.load(folder, config).annotate(TEXTS) for folder in models["tablert"])
    assert labels(plain) == labels(calibrated)


def test_probabilities_are_softmaxes_of_divided_logits(models: dict[str, tuple[Path, Path]]) -> None:
    predictor = Predictor.load(models["cnn"][1])
    words = TEXTS[3]
    (found,) = predictor.annotate([words])
    logits = predictor.engine.run(TABLE, predictor.inputs(predictor.tokenizer.encode([words])))
    entity = softmax(logits["entity_logits"][0].astype(np.float64) / FITTED.temperatures.tags)
    relation = softmax(logits["relation_logits"][0].astype(np.float64) / FITTED.temperatures.cells)
    chosen = logits["entity_logits"][0].argmax(-1)
    for e in found.entities:
        expected = np.prod([entity[i, chosen[i]] for i in range(e.start, e.end)])
        assert e.probability == pytest.approx(expected)
    for r in found.relations:
        first, second = sorted((r.head.end - 1, r.tail.end - 1))
        assert r.probability == pytest.approx(relation[first, second].max())
    assert found.relations
    tags, cells = predictor.probabilities(words)
    np.testing.assert_allclose(tags, entity, atol=1e-6)
    np.testing.assert_allclose(cells, relation, atol=1e-6)


def test_thresholds_are_of_calibrated_probabilities(models: dict[str, tuple[Path, Path]]) -> None:
    found = Predictor.load(models["cnn"][1]).annotate(TEXTS)
    least = float(np.median([r.probability or 0.0 for s in found for r in s.relations]))
    kept = Predictor.load(models["cnn"][1], PredictConfig(min_relation=least)).annotate(TEXTS)
    expected = [[r for r in s.relations if (r.probability or 0.0) >= least] for s in found]
    assert [list(s.relations) for s in kept] == expected
    assert 0 < sum(map(len, expected)) < sum(len(s.relations) for s in found)


@pytest.mark.parametrize(
    "name", [name if name == "cnn" else pytest.param(name, marks=pytest.mark.long) for name in HEADS]
)
def test_a_bundle_says_what_its_checkpoint_says(
    name: str, models: dict[str, tuple[Path, Path]], bundle: Bundle
) -> None:
    """Through the graph's answers too, in which the temperature lies: it is applied once."""
    exported = bundle(name)
    ours, theirs = (Predictor.load(path).annotate(TEXTS) for path in (models[name][1], exported))
    assert labels(ours) == labels(theirs)
    np.testing.assert_allclose(probabilities(theirs), probabilities(ours), atol=1e-4)
    opened = open_bundle(exported)
    assert opened.calibration == FITTED == read_card(models[name][1]).calibration
    assert "temperatures: tags 2.50, cells 4.00 (fitted on tiny dev)" in (exported / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_half_and_quantised_graphs_divide_by_the_same_temperature(
    precision: str, models: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    gold = Predictor.load(models["cnn"][0]).annotate(TEXTS)
    config = ExportConfig(precision=precision, allow="random weights")  # type: ignore[arg-type]
    export_bundle(models["cnn"][1], tmp_path / "small", config, gold=gold)
    engine = Predictor.load(tmp_path / "small").engine
    inputs = Predictor.load(models["cnn"][0]).inputs(Predictor.load(models["cnn"][0]).tokenizer.encode(TEXTS))
    found = engine.run(TABLE, inputs, ("relation_logits", "relation_tags", "relation_probabilities"))
    expected = softmax(found["relation_logits"], FITTED.temperatures.cells).max(-1)
    np.testing.assert_allclose(found["relation_probabilities"], expected, atol=1e-6)
    assert (found["relation_tags"] == found["relation_logits"].argmax(-1)).all()


def test_answers_of_a_card_have_the_temperature(models: dict[str, tuple[Path, Path]]) -> None:
    plain = Predictor.load(models["cnn"][1]).annotate(TEXTS)
    with gpu_path():
        predictor = Predictor.load(models["cnn"][1])
        assert predictor.engine.offers(TABLE)
        found = predictor.annotate(TEXTS)
    assert labels(found) == labels(plain)
    np.testing.assert_allclose(probabilities(found), probabilities(plain), atol=1e-5)


def test_an_export_whose_answers_have_another_temperature_is_refused(
    models: dict[str, tuple[Path, Path]], bundle: Bundle, tmp_path: Path
) -> None:
    model, card = load_checkpoint(models["cnn"][1])
    assert verify(model, card, {TABLE: bundle("cnn") / "table.onnx"}, 1e-4, TEXTS).failures == []
    proto = onnx.load(str(bundle("cnn") / "table.onnx"))
    (constant,) = (one for one in proto.graph.initializer if one.name == TEMPERATURE)
    constant.CopyFrom(numpy_helper.from_array(np.array(1.0, np.float32), TEMPERATURE))
    onnx.save(proto, str(tmp_path / "table.onnx"))
    failures = verify(model, card, {TABLE: tmp_path / "table.onnx"}, 1e-4, TEXTS).failures
    assert any("have a tag or a probability that their logits do not give" in told for told in failures)


def test_tritons_model_has_the_bundles_graph(bundle: Bundle, tmp_path: Path) -> None:
    folder = write_repository(bundle("cnn"), tmp_path / "triton")
    assert (folder / "1" / "model.onnx").read_bytes() == (bundle("cnn") / "table.onnx").read_bytes()
    assert 'key: "temperature_tags" value: { string_value: "2.5" }' in (folder / "config.pbtxt").read_text()


def test_what_has_no_temperatures_is_read_as_it_was(models: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    """A checkpoint and bundles of earlier versions, and a record that says 1: to the last bit."""
    plain = models["cnn"][0]
    assert "calibration" not in json.loads((plain / META).read_text()) and read_card(plain).calibration is None
    copy_calibrated(plain, tmp_path / "one", Fitted(note="not fitted: there is no dev split"))
    ours, theirs = (Predictor.load(folder).annotate(TEXTS) for folder in (plain, tmp_path / "one"))
    assert labels(ours) == labels(theirs) and probabilities(ours) == probabilities(theirs)
    for name in ("cnn-fp32", "tablert-fp32"):
        old = GOLDEN / "bundle" / name
        assert open_bundle(old).calibration is None and Predictor.load(old).scheme.temperatures == NEUTRAL
    export_bundle(plain, tmp_path / "plain", ExportConfig(allow="random weights"), TEXTS)
    names = {one.name for one in onnx.load(str(tmp_path / "plain" / "table.onnx")).graph.initializer}
    assert TEMPERATURE not in names
    assert "calibration" not in json.loads((tmp_path / "plain" / MANIFEST).read_text())


def test_a_record_with_temperatures_is_sealed_and_its_limits_are_checked(
    models: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(models["cnn"][0], folder)
    keep_calibration(folder, FITTED)
    keep_calibration(folder, replace_note(FITTED, "again"))
    card = read_card(folder)
    assert damage(folder) is None and card.calibration is not None and card.calibration.note == "again"
    text = (folder / META).read_text()
    (folder / META).write_text(text.replace("4.0", "5.0", 1))
    with pytest.raises(InputError, match="seal"):
        read_card(folder)
    tree = json.loads(text)
    tree["calibration"]["temperatures"]["cells"] = 0.0
    del tree["seal"]
    (folder / META).write_text(json.dumps(tree))
    with pytest.raises(InputError, match=r"calibration is damaged \(temperatures.cells = 0.0"):
        read_card(folder)


def replace_note(fitted: Fitted, note: str) -> Fitted:
    return fitted.model_copy(update={"note": note})


def test_an_entitys_rank_between_windows_is_that_of_the_network(models: dict[str, tuple[Path, Path]]) -> None:
    (found,) = Predictor.load(models["cnn"][1]).annotate([LONG])
    (plain,) = Predictor.load(models["cnn"][0]).annotate([LONG])
    assert [e.rank for e in found.entities] == [e.probability for e in plain.entities]
    assert replace(found.entities[0], uncalibrated=None).rank == found.entities[0].probability
