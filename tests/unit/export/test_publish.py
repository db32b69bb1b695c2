"""The winner of a search: its scores on gold that it does not reach, whatever `predict` says, with their own protocols."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner

from export import publish
from export.gates import VerificationReport
from tablert_dist.cli import main as tablert
from tablert_dist.cluster import ScalingPlan
from tablert_dist.config import Config, load_config
from tablert_dist.data import Corpus, load_corpus
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model.checkpoint import ModelCard, load_checkpoint, read_card, save_checkpoint
from tablert_dist.runs.folder import RunFolder
from tablert_dist.schema import Sentence
from tablert_dist.scoring import Protocol
from tablert_dist.tune.search import SearchResult
from tablert_dist.tune.trials import Trial
from tests.support.tiny import SCHEMA, WORDS, write_corpus, write_tiny_checkpoint
from tests.unit.tune.test_search import row

TEXTS = [[WORDS[(i * 5 + j * 7) % len(WORDS)] for j in range(4 + i % 6)] for i in range(24)]
MISSED = 3
"""Every third entity of the predictions is another type in the gold: what the model finds is partly wrong."""


def gold_of(found: Sentence, seed: int) -> dict[str, Any]:
    """A record of SpERT's JSON that the model gets partly wrong."""
    entities = [
        {"start": e.start, "end": e.end, "type": "Loc" if (seed + i) % MISSED == 0 and e.type != "Loc" else e.type}
        for i, e in enumerate(found.entities)
    ]
    index = {entity: i for i, entity in enumerate(found.entities)}
    relations = [{"head": index[r.head], "tail": index[r.tail], "type": r.type} for r in found.relations]
    return {"tokens": list(found.words), "entities": entities, "relations": relations}


def saved_winner(encoder: str, folder: Path) -> Path:
    """A checkpoint that finds many entities, with the protocol of its dev scores on record, as a training writes it."""
    model, card = load_checkpoint(write_tiny_checkpoint(encoder, folder / "random"))
    protocol = Protocol("tiny", "0" * 64, "train", "dev", "error", "tiny", 2, "best dev epoch by RE+", (1,), left_out=4)
    notes = {"epoch": 1, "protocol": protocol.to_json(), "history": [row(1, 0.4)]}
    save_checkpoint(
        folder / "trial-01" / "epoch_001", model, ModelCard(card.config, SCHEMA, card.tokenizer, card.pad_id, notes)
    )
    return folder / "trial-01" / "epoch_001"


@pytest.fixture(scope="module")
def winner(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Its checkpoint and the corpus."""
    folder = tmp_path_factory.mktemp("winner")
    checkpoint = saved_winner(tiny_encoder, folder)
    found = Predictor.load(checkpoint).annotate(TEXTS)
    records = [gold_of(sentence, i) for i, sentence in enumerate(found)]
    corpus = write_corpus(folder / "tiny", {"train": records, "dev": records[:10], "test": records[10:]})
    types = {
        "entities": {name: {"short": name, "verbose": name} for name in SCHEMA.entity_types},
        "relations": {n: {"short": n, "verbose": n, "symmetric": n == "near"} for n in SCHEMA.relation_types},
    }
    (corpus / "tiny_types.json").write_text(json.dumps(types), encoding="utf-8")
    return checkpoint, corpus


def settings(corpus: Path, **predict: float) -> tuple[Config, Corpus]:
    given = {f"predict.{key}": value for key, value in predict.items()}
    config = load_config(None, {"data.path": str(corpus), "tracking.enabled": False, **given})
    return config, load_corpus(config.data, config.model)


def finished(checkpoint: Path, config: Config, corpus: Corpus, folder: Path) -> dict[str, Any]:
    """The `result.json` that a search of two trials writes, without its export."""
    run = SimpleNamespace(folder=RunFolder(folder), path=folder, name="s", update=lambda **_: None)
    trials = [
        Trial(f"trial-0{i}", i, {}, RunFolder(checkpoint.parent), [row(1, 0.1 + i)], True, False) for i in range(2)
    ]
    result = SearchResult(cast(Any, run), trials, trials[1], config, None)
    publish.finish(result, corpus, ScalingPlan(1, 1.0, 0.0), lambda line: None)
    return cast(dict[str, Any], json.loads((folder / "result.json").read_text(encoding="utf-8")))


def test_the_winner_is_scored_against_the_gold(winner: tuple[Path, Path]) -> None:
    checkpoint, folder = winner
    _, corpus = settings(folder)
    scored = publish.score_checkpoint(checkpoint, corpus, trials=2)
    for split, texts in (("dev", TEXTS[:10]), ("test", TEXTS[10:])):
        found = Predictor.load(checkpoint).annotate(texts)
        hits = sum(len(set(g.entities) & set(f.entities)) for g, f in zip(corpus.splits[split], found, strict=True))
        both = sum(len(g.entities) + len(f.entities) for g, f in zip(corpus.splits[split], found, strict=True))
        assert 0.3 < 2 * hits / both < 0.95, "partly wrong, so that comparing a thing with itself would show"
        assert scored[split].scores.f1("ner") == pytest.approx(2 * hits / both)
        assert scored[split].scores.f1("re_plus") < scored[split].scores.f1("re") == 1.0


def test_a_searchs_scores_are_those_of_evaluate_whatever_predict_says_and_each_has_its_protocol(
    winner: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, folder = winner
    monkeypatch.setattr(publish, "export_bundle", lambda *_, **__: VerificationReport(1e-4))
    config, corpus = settings(folder, min_relation=0.9, min_entity=0.9, beam=3)
    result = finished(checkpoint, config, corpus, tmp_path)
    assert set(result["scores"]) == {"dev", "test"}
    for split, found in result["scores"].items():
        out = tmp_path / f"{split}.json"
        words = ["evaluate", "--model", checkpoint, "--data", folder, "--split", split, "--out", out]
        done = CliRunner().invoke(tablert, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        kept = json.loads(out.read_text(encoding="utf-8"))
        assert kept.pop("calibration")["temperatures"] == read_card(checkpoint).calibration.temperatures.model_dump()  # type: ignore[union-attr]
        assert kept.pop("constraints") is None, "there are none on record with what no training has saved"
        assert found["scores"] == kept
        told = found["protocol"]
        assert (told["scored_on"], told["chosen_from"]) == (split, 2)
        assert (told["decoding"], told["precision"], told["trained_on"]) == ("argmax", "fp32", "train")
        assert "left_out" not in told, "of dev in the training, not of this split"
        assert f"scored on {split}" in str(Protocol.of(told))
        assert str(Protocol.of(told)).endswith("chosen from 2 trials on dev, decoded by argmax, in fp32")


def test_a_winner_that_was_trained_again_says_of_how_many_seeds_it_is_the_best(winner: tuple[Path, Path]) -> None:
    checkpoint, folder = winner
    found = publish.score_checkpoint(checkpoint, settings(folder)[1], trials=7, seeds=3)
    assert found["test"].protocol.selection == "best dev epoch by RE+, best of 3 seeds on dev"
    assert found["test"].protocol.chosen_from == 7
