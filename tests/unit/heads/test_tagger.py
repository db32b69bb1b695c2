"""Entity tags must not depend on how many relation types there are, and data without any make a tagger with every head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from export.graph import export_bundle
from tablert_dist.config import ExportConfig, ModelConfig, load_config
from tablert_dist.data import formats
from tablert_dist.heads.registry import HEADS
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model.model import build_head
from tablert_dist.schema import Schema
from tablert_dist.tags import TagSet
from tablert_dist.train.fit import fit
from tests.support.tiny import tiny_records, write_corpus

FORMS: dict[str, dict[str, Any]] = {name: {"model.head": name} for name in HEADS}
FORMS["cnn"] |= {"model.cnn.entity_from": "hidden", "model.cnn.hidden": [16]}


@pytest.mark.parametrize(
    "form", ["cnn", *(pytest.param(form, marks=pytest.mark.long) for form in FORMS if form != "cnn")]
)
def test_data_without_relations_make_a_tagger(form: str, tiny_encoder: str, tmp_path: Path) -> None:
    records = [{**record, "relations": []} for record in tiny_records(12)]
    write_corpus(tmp_path / "data", {"train": records, "dev": records})
    (tmp_path / "data" / "tiny_types.json").unlink(missing_ok=True)
    config = load_config(
        None,
        {
            "data.path": str(tmp_path / "data"),
            "model.encoder": tiny_encoder,
            "model.dropout": 0.0,
            "optim.lr": 1e-2,
            "optim.encoder_lr": 1e-3,
            "train.epochs": 40,
            "train.batch_size": 4,
            "train.storage": str(tmp_path / "runs"),
            "cluster.num_workers": 0,
            "tracking.enabled": False,
            **FORMS[form],
        },
    )
    checkpoint = Path(fit(config, "tagger").best["checkpoint"])
    gold = formats.read(tmp_path / "data" / "tiny_dev.json")
    report = export_bundle(checkpoint, tmp_path / "bundle", ExportConfig(), gold=gold)
    assert not report.failures and report.f1["onnx"]["ner"] > 0.9
    bundle = Predictor.load(tmp_path / "bundle")
    assert bundle.relation_types == () and bundle.entity_types
    found = bundle.predict(["Ada works at Acme near Oslo ."])[0]
    assert found.entities and not found.relations and found.to_json()["relations"] == []


@pytest.mark.parametrize("hidden", [(), (128,), (64, 32)])
def test_entity_tags_see_as_much_with_any_number_of_relation_types(hidden: tuple[int, ...]) -> None:
    def features(entity_from: str, types: int) -> int:
        config = ModelConfig.model_validate({"cnn": {"hidden": hidden, "entity_from": entity_from}})
        schema = Schema(("Loc",), tuple(map(str, range(types))))
        return int(build_head(config, 8, TagSet(schema)).entity.in_features)

    if hidden:
        assert features("hidden", 0) == features("hidden", 9) == hidden[-1]
    else:
        assert features("hidden", 0) >= 16
    assert [features("relation", types) for types in (0, 9)] == [1, 19], "the paper's"
