"""Rules in prediction: every head keeps them, in torch and onnxruntime, over windows, from a file or from the record."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from export.graph import export_bundle
from tablert_dist.config import ExportConfig, PredictConfig
from tablert_dist.errors import InputError
from tablert_dist.gpu import gpu_path
from tablert_dist.heads.constraints import Constraints, Rule
from tablert_dist.heads.temperatures import Temperatures
from tablert_dist.inference.bundle import MANIFEST, open_bundle
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model.checkpoint import read_card
from tablert_dist.schema import Sentence
from tablert_dist.storage.checkpoint_folder import META
from tablert_dist.storage.records import SEAL, sealed
from tests.support import GOLDEN
from tests.support.tiny import SCHEMA, WORDS, write_tiny_checkpoint
from tests.unit.heads.test_rules import RULES, STRICT, keeps

TEXTS = [[WORDS[(i * 5 + j * 7) % len(WORDS)] for j in range(4 + i % 6)] for i in range(12)]
LONG = [WORDS[j * 7 % len(WORDS)] for j in range(90)]
"""Over the encoder's limit: read by windows."""
SETTINGS: dict[str, dict[str, Any]] = {
    "cnn": {},
    "viterbi": {"model__cnn__decoding": "viterbi"},
    "tablert": {"model__head": "tablert"},
    "spert": {"model__head": "spert", "model__spert__max_span": 3},
}


@pytest.fixture(scope="module")
def checkpoints(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: write_tiny_checkpoint(tiny_encoder, folder / name, **settings) for name, settings in SETTINGS.items()}


@pytest.fixture(scope="module")
def rules_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    from tablert_dist.data.annotated import types_bytes

    path = tmp_path_factory.mktemp("rules") / "rules.json"
    path.write_bytes(types_bytes(SCHEMA, STRICT))
    return str(path)


def labels(found: Sequence[Sentence]) -> list[Any]:
    return [(s.entities, s.relations) for s in found]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_head_keeps_the_rules_also_over_windows(name: str, checkpoints: dict[str, Path], rules_file: str) -> None:
    texts = [*TEXTS, LONG]
    plain = Predictor.load(checkpoints[name]).annotate(texts)
    predictor = Predictor.load(checkpoints[name], PredictConfig(constraints=rules_file))
    found = predictor.annotate(texts)
    assert [s.entities for s in found] == [s.entities for s in plain], "entities are as they were"
    assert all(keeps(s.relations) for s in found) and not all(keeps(s.relations) for s in plain)
    assert sum(len(s.relations) for s in found) > 10
    assert predictor.predict_words([LONG])[0].read.windows > 1  # type: ignore[union-attr]
    broken = RULES.broken(plain)
    assert broken.triples > 5 and broken.types and broken.functional and broken.inverse_functional
    # A temperature changes no choice.
    predictor.scheme.temperatures = Temperatures(tags=2.5, cells=4.0)
    assert labels(predictor.annotate(texts)) == labels(found)


def on_record(folder: Path, target: Path, constraints: Constraints) -> Path:
    """A copy of a checkpoint that has constraints in its record, as a training writes it."""
    shutil.copytree(folder, target)
    tree = {k: v for k, v in json.loads((folder / META).read_text()).items() if k != SEAL}
    assert "constraints" not in tree and read_card(folder).constraints is None
    (target / META).write_text(json.dumps(sealed({**tree, "constraints": constraints.to_json()})))
    return target


@pytest.mark.parametrize("name", ["cnn", *(pytest.param(n, marks=pytest.mark.long) for n in ("tablert", "spert"))])
def test_both_engines_choose_the_same_by_the_rules_on_record(
    name: str, checkpoints: dict[str, Path], rules_file: str, tmp_path: Path
) -> None:
    checkpoint = on_record(checkpoints[name], tmp_path / "checkpoint", STRICT)
    bundle = tmp_path / "bundle"
    export_bundle(checkpoint, bundle, ExportConfig(allow="random weights"), TEXTS)
    texts, learned = [*TEXTS, LONG], PredictConfig(constraints="learned")
    ours, theirs = (Predictor.load(path, learned).annotate(texts) for path in (checkpoint, bundle))
    assert sum(len(s.relations) for s in ours) > 10
    # SpERT's random weights give many sets the same weight to the sixth digit: either is the best.
    assert labels(ours) == labels(theirs) or name == "spert"
    for one, other in zip(ours, theirs, strict=True):
        assert one.entities == other.entities and keeps(one.relations) and keeps(other.relations)
        if one.relations == other.relations:
            for a, b in zip(one.relations, other.relations, strict=True):
                assert a.probability == pytest.approx(b.probability, abs=1e-4)
        if len(one.words) < len(LONG):
            weights = [sum(r.odds or 0.0 for r in s.relations) for s in (one, other)]
            assert weights[0] == pytest.approx(weights[1], abs=1e-4)
    assert labels(theirs) == labels(Predictor.load(bundle, PredictConfig(constraints=rules_file)).annotate(texts))
    assert open_bundle(bundle).constraints == read_card(checkpoint).constraints == STRICT
    card = (bundle / "README.md").read_text()
    assert "keeps these rules (given in a test)" in card and "near: Org → Loc, Loc → Loc, Per → Loc" in card
    # Off by default: as the model without any on record.
    plain = Predictor.load(checkpoints[name]).annotate(texts)
    assert labels(Predictor.load(checkpoint).annotate(texts)) == labels(plain) != labels(ours)


def test_a_record_names_only_types_that_the_model_has(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    wrong = Constraints(relations={"worked": Rule(functional=True)})
    with pytest.raises(InputError, match=r"checkpoint.json: constraints: there is no relation type 'worked'"):
        read_card(on_record(checkpoints["cnn"], tmp_path / "a", wrong))
    shutil.copytree(GOLDEN / "bundle" / "cnn-fp32", tmp_path / "bundle")
    tree = {k: v for k, v in json.loads((tmp_path / "bundle" / MANIFEST).read_text()).items() if k != SEAL}
    for rules, reason in (
        ({"works": {"allowed": []}}, r"constraints.relations.works.allowed = \[\]"),
        ({"worked": {}}, r"manifest.json: constraints: there is no relation type 'worked'"),
    ):
        (tmp_path / "bundle" / MANIFEST).write_text(json.dumps(sealed({**tree, "constraints": {"relations": rules}})))
        with pytest.raises(InputError, match=reason):
            open_bundle(tmp_path / "bundle")


def test_a_card_gives_all_labels_of_a_cell_where_rules_ask_for_them(
    checkpoints: dict[str, Path], rules_file: str
) -> None:
    config = PredictConfig(constraints=rules_file)
    expected = Predictor.load(checkpoints["cnn"], config).annotate(TEXTS)
    with gpu_path():
        predictor = Predictor.load(checkpoints["cnn"], config)
        assert predictor.engine.offers("table")
        assert labels(predictor.annotate(TEXTS)) == labels(expected)


@pytest.mark.parametrize("name", ["cnn-fp32", "cnn-fp16", "tablert-fp32", "spert-fp32"])
def test_bundles_of_an_earlier_version_keep_the_rules_of_a_file(name: str, tmp_path: Path) -> None:
    """And have none on record; without a file they predict what they did (tests of the golden files)."""
    bundle, rules = GOLDEN / "bundle" / name, tmp_path / "rules.json"
    rules.write_text('{"relations": {"works": {"allowed": [{"head": "Loc", "tail": "Org"}]}}}')
    texts = [["Ada", "works", "at", "Acme", "near", "Oslo", "."]]
    before, after = (
        [r.type for r in Predictor.load(bundle, config).annotate(texts)[0].relations]
        for config in (PredictConfig(), PredictConfig(constraints=str(rules)))
    )
    assert "works" in before and "works" not in after and set(before) - {"works"} <= set(after)
    with pytest.raises(InputError, match=r"no constraints on record.*tablert data constraints DATA --out rules.json"):
        Predictor.load(bundle, PredictConfig(constraints="learned"))
