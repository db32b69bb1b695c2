"""What the trials of a search train and are scored on, without Ray: dev alone, and the first of two stages frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tablert_dist.cluster import ScalingPlan
from tablert_dist.config import Config, load_config
from tablert_dist.data import load_corpus
from tablert_dist.runs.folder import RunFolder
from tablert_dist.schema import Sentence
from tablert_dist.train import session, worker
from tablert_dist.tune import search as searching
from tablert_dist.tune.experiment import StageContext
from tablert_dist.tune.space import Space
from tablert_dist.tune.trials import METRIC, SearchStage, Trial
from tests.support.tiny import tiny_records, write_corpus
from tests.unit.tune.test_search import row

POINTS = [{"model.cnn.kernel_size": 3}, {"model.cnn.kernel_size": 5}, {"model.cnn.kernel_size": 1}]


def stages_of(config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[SearchStage, Any]]:
    """The stages that a search runs, each with the indices of its points (None: all), the second point being the best."""
    found: list[tuple[SearchStage, Any]] = []

    def run(stage: SearchStage, record: Mapping[str, Any], *given: Any) -> list[Trial]:
        only: Sequence[int] | None = given[2] if len(given) > 2 else None
        found.append((stage, only))
        scores = (0.2, 0.9, 0.5)
        return [
            Trial(stage.name(i), i, point, RunFolder(folder), [row(1, scores[i])], True, False)
            for i, point in enumerate(POINTS)
            if only is None or i in only
        ]

    monkeypatch.setattr(searching, "_stage", run)
    record: dict[str, Any] = {"points": POINTS, "search": "grid"}
    store = SimpleNamespace(folder=RunFolder(folder), record=record, path=folder, update=record.update)
    context = StageContext(ScalingPlan(1, 1.0, 0.0), 1, cast(Any, None))
    monkeypatch.setattr(searching, "shared_out", lambda plan, *_: plan)
    monkeypatch.setattr(searching, "capacity", lambda: None)
    searching._run(config, Space("x", {"model.cnn.kernel_size": (3, 5, 1)}), cast(Any, store), None, context)
    return found


def test_the_first_of_two_stages_trains_frozen_and_the_second_the_best_with_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config("sample", {"tune.stages": 2, "tune.finalists": 2, "model.frozen": False})
    (first, everything), (second, finalists) = stages_of(config, tmp_path, monkeypatch)
    assert everything is None and finalists == [1, 2]
    for i, point in enumerate(POINTS):
        heads, whole = first.job(i, point), second.job(i, point)
        assert heads.config.model.frozen and not whole.config.model.frozen
        assert heads.config.tune.scheduler == "asha" and whole.config.tune.scheduler == "none"
        assert (
            heads.config.model.cnn.kernel_size == whole.config.model.cnn.kernel_size == point["model.cnn.kernel_size"]
        )
        assert not heads.score_test and not whole.score_test


def test_one_stage_trains_as_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for frozen in (True, False):
        config = load_config("sample", {"model.frozen": frozen})
        ((stage, only),) = stages_of(config, tmp_path, monkeypatch)
        job = stage.job(1, POINTS[1])
        assert only is None and job.config.model.frozen is frozen and not job.score_test


def test_a_trial_is_scored_on_dev_and_never_on_test(
    tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = tiny_records(9)
    folder = write_corpus(tmp_path / "tiny", {"train": records[:3], "dev": records[3:6], "test": records[6:]})
    given = {"data.path": str(folder), "model.encoder": tiny_encoder, "train.epochs": 2, "model.cnn.hidden": [4]}
    config = load_config(None, given)
    corpus = load_corpus(config.data, config.model)
    scored: list[Sequence[Sentence]] = []
    for module in (worker, session):
        evaluate = module.evaluate_unless  # type: ignore[attr-defined]

        def watched(model: Any, examples: Any, *rest: Any, evaluate: Any = evaluate) -> Any:
            scored.append(examples.sentences)
            return evaluate(model, examples, *rest)

        monkeypatch.setattr(module, "evaluate_unless", watched)
    job = SearchStage(config, RunFolder(tmp_path / "search")).job(0, {})
    result = worker.run_worker(job, worker.choose_context(config), corpus=corpus)
    assert corpus.splits["dev"] != corpus.splits["test"]
    assert len(scored) == 3 and all(list(s) == list(corpus.splits["dev"]) for s in scored), "two epochs, then the best"
    assert set(result["scores"]) == {"dev"} and METRIC in result["history"][0]
    assert not any("test" in key for row in result["history"] for key in row)
