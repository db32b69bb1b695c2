"""One worker in this process: checkpoints, early stopping, selection, interruption, half precision, MLflow."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from tablert_dist.analysis.fitting import NO_DEV, fit_temperatures
from tablert_dist.cluster import Capacity, ScalingPlan, connection, room_for, scaling_plan, shared_out
from tablert_dist.config import Config, load_config
from tablert_dist.data import load_corpus
from tablert_dist.data.annotated import types_bytes
from tablert_dist.data.constraints import learn
from tablert_dist.errors import InputError, RunError
from tablert_dist.heads.constraints import Constraints, Rule
from tablert_dist.heads.temperatures import Fitted
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model import checkpoint as ckpt
from tablert_dist.runs.folder import RunFolder
from tablert_dist.runs.job import Job, read_result
from tablert_dist.runs.result import FitResult
from tablert_dist.scoring import best_epoch
from tablert_dist.storage.checkpoint_folder import checkpoints, resumable
from tablert_dist.train.tracked import described, flat_public
from tablert_dist.train.worker import choose_context, run_worker
from tests.support.altered import edit, sealed_again, with_code
from tests.support.reliability import record
from tests.support.tiny import tiny_records, write_corpus


@pytest.fixture
def config(tiny_encoder: str, tmp_path: Path) -> Config:
    records = tiny_records(12)
    folder = write_corpus(tmp_path / "tiny", {"train": records, "dev": records[:4], "test": records[4:8]})
    return load_config(
        None,
        {"data.path": str(folder), "model.encoder": tiny_encoder, "model.cnn.hidden": [8], "train.epochs": 4,
         "optim.encoder_lr": 1e-3},
    )  # fmt: skip


def changed(config: Config, **values: Any) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update=values)})


def test_the_two_newest_checkpoints_hold_the_optimisers_state(config: Config, tmp_path: Path) -> None:
    seen = []

    def report(row: dict[str, float]) -> None:
        states = sorted(p.parent.name for p in tmp_path.glob("run/epoch_*/trainer.pt"))
        seen.append((states, len(checkpoints(tmp_path / "run"))))

    run_worker(Job(config, RunFolder(tmp_path / "run"), 1), choose_context(config), report=report)
    assert [s[0] for s in seen] == [[f"epoch_00{e}" for e in pair if e] for pair in ((0, 1), (1, 2), (2, 3), (3, 4))]
    assert max(s[1] for s in seen) <= 3, "the best and the two newest"
    assert not list(tmp_path.glob("run/epoch_*/trainer.pt")), "nothing goes on from a finished training"
    assert len(checkpoints(tmp_path / "run")) <= 2, "the best and the last"


@pytest.mark.parametrize("file", ["model.safetensors", "trainer.pt", "checkpoint.json", "encoder/config.json"])
def test_a_checkpoint_cut_off_in_the_middle_is_passed_over(
    config: Config, tmp_path: Path, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    class InterruptedRunError(Exception):
        pass

    def stop(row: dict[str, float]) -> None:
        if row["epoch"] == 3:
            raise InterruptedRunError

    calm = run_worker(Job(config, RunFolder(tmp_path / "calm"), 1), choose_context(config))
    struck = Job(config, RunFolder(tmp_path / "struck"), 1)
    with pytest.raises(InterruptedRunError):
        run_worker(struck, choose_context(config), report=stop)
    cut = tmp_path / "struck" / "epoch_003" / file
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    found = resumable(tmp_path / "struck")
    assert found is not None and found.name == "epoch_002"
    assert "epoch_003 is damaged and passed over" in caplog.text and Path(file).name in caplog.text
    ended = run_worker(struck, choose_context(config))
    keys = ("epoch", "train/loss", "dev/re_plus_f1")
    assert [[h[k] for k in keys] for h in calm["history"]] == [[h[k] for k in keys] for h in ended["history"]]
    weights = [ckpt.load_checkpoint(Path(r["checkpoint"]))[0].state_dict() for r in (calm, ended)]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    record("the newest checkpoint", "one of its files cut in half", None, 1, "same bits")


@pytest.mark.parametrize("what", ["epoch_*", "epoch_*/model.safetensors", "*"])
def test_checkpoints_that_are_removed_while_it_trains(config: Config, tmp_path: Path, what: str) -> None:
    """The training goes on; at its end it says what is missing and what is left."""

    def remove(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            for path in list((tmp_path / "run").glob(what)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    # At this rate the first epoch is the best one.
    flat = config.model_copy(update={"optim": config.optim.model_copy(update={"lr": 1e-9, "encoder_lr": 1e-9})})
    job = Job(flat, RunFolder(tmp_path / "run"), 1)
    with pytest.raises(RunError, match=r"epoch_001: .*something removed .* there: epoch_003, epoch_004\. Export"):
        run_worker(job, choose_context(flat), report=remove)
    last = Job(changed(flat, select="last"), RunFolder(tmp_path / "last"), 1)
    assert run_worker(last, choose_context(flat), report=remove)["epoch"] == 4, "the end needs its own checkpoint alone"


def test_a_checkpoint_that_names_code_is_not_resumed_from(config: Config, tmp_path: Path) -> None:
    class InterruptedRunError(Exception):
        pass

    def stop(row: dict[str, float]) -> None:
        raise InterruptedRunError

    struck = Job(config, RunFolder(tmp_path / "struck"), 1)
    with pytest.raises(InterruptedRunError):
        run_worker(struck, choose_context(config), report=stop)
    newest = tmp_path / "struck" / "epoch_001"
    with_code(newest / "encoder", tmp_path / "ran")
    sealed_again(newest)
    with pytest.raises(InputError, match=r"encoder/config\.json wants to run code of its own"):
        run_worker(struck, choose_context(config))
    assert not (tmp_path / "ran").exists()
    (newest / "trainer.pt").write_bytes(b"no state")
    edit(newest / "encoder" / "config.json", lambda tree: tree.pop("auto_map"))
    sealed_again(newest)
    with pytest.raises(InputError, match=r"trainer\.pt cannot be read"):
        run_worker(struck, choose_context(config))


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_an_interrupted_run_ends_with_the_same_weights(config: Config, tmp_path: Path, average: float) -> None:
    config = changed(config, average=average)

    class InterruptedRunError(Exception):
        pass

    def stop(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise InterruptedRunError

    calm = run_worker(Job(config, RunFolder(tmp_path / "calm"), 1), choose_context(config))
    with pytest.raises(InterruptedRunError):
        run_worker(Job(config, RunFolder(tmp_path / "cut"), 1), choose_context(config), report=stop)
    # What a process leaves that died while writing the next checkpoint.
    (tmp_path / "cut" / ".epoch_003.part").mkdir()
    (tmp_path / "cut" / ".epoch_003.part" / "checkpoint.json").write_text("{")
    cut = run_worker(Job(config, RunFolder(tmp_path / "cut"), 1), choose_context(config))
    one, other = (ckpt.load_checkpoint(Path(r["checkpoint"]))[0].state_dict() for r in (calm, cut))
    assert all(torch.equal(one[k], other[k]) for k in one)
    keys = ("epoch", "train/loss", "dev/re_plus_f1")
    assert [[h[k] for k in keys] for h in calm["history"]] == [[h[k] for k in keys] for h in cut["history"]]


def test_early_stopping_and_selection(config: Config, tmp_path: Path) -> None:
    still = config.model_copy(update={"optim": config.optim.model_copy(update={"lr": 1e-12, "encoder_lr": 1e-12})})
    result = run_worker(
        Job(changed(still, early_stop=2, epochs=9), RunFolder(tmp_path / "a"), 1), choose_context(config)
    )
    assert result["epochs"] == 3 and result["epoch"] == 1, "two epochs without a better one"
    last = run_worker(Job(changed(config, select="last"), RunFolder(tmp_path / "b"), 1), choose_context(config))
    assert last["epoch"] == 4
    both = config.model_copy(update={"data": config.data.model_copy(update={"train_on": "train+dev"})})
    result = run_worker(Job(both, RunFolder(tmp_path / "c"), 1), choose_context(config))
    assert result["epoch"] == 4 and set(result["scores"]) == {"test"}
    assert result["scores"]["test"]["protocol"]["selection"] == "last epoch"
    assert result["scores"]["test"]["protocol"]["trained_on"] == "train+dev"


GIVEN = Constraints(relations={"works": Rule(functional=True)}, note="given in tiny_types.json")


def test_a_training_keeps_the_temperatures_and_rules_of_its_result(config: Config, tmp_path: Path) -> None:
    """Those that its checkpoint gives on dev; without dev they are 1 and the record says why; a search's trial has none."""
    result = run_worker(Job(config, RunFolder(tmp_path / "run"), 1), choose_context(config))
    card = ckpt.read_card(Path(result["checkpoint"]))
    corpus = load_corpus(config.data, config.model)
    predictor = Predictor.load(result["checkpoint"])
    fitted = fit_temperatures(predictor, corpus.splits["dev"], f"{corpus.name} dev")
    assert card.calibration == fitted and result["calibration"] == fitted.to_json()
    assert fitted.sentences == len(corpus.splits["dev"]) and fitted.entities > 0
    assert "Triples that break a rule" in (tmp_path / "run" / "errors-dev.html").read_text()
    assert card.constraints == learn(corpus.train, corpus.schema, f"{corpus.name} train") and card.constraints.relations
    (Path(str(config.data.path)) / "tiny_types.json").write_bytes(types_bytes(corpus.schema, GIVEN))
    (Path(str(config.data.path)) / "tiny_dev.json").unlink()
    result = run_worker(Job(config, RunFolder(tmp_path / "no-dev"), 1), choose_context(config))
    assert result["calibration"]["note"] == NO_DEV
    assert ckpt.read_card(Path(result["checkpoint"])).calibration == Fitted(note=NO_DEV)
    assert ckpt.read_card(Path(result["checkpoint"])).constraints == GIVEN, (
        "a types file's rules come before learned ones"
    )
    result = run_worker(Job(config, RunFolder(tmp_path / "trial"), 1, score_test=False), choose_context(config))
    assert "calibration" not in result and ckpt.read_card(Path(result["checkpoint"])).calibration is None


def test_half_precision_trains_to_a_similar_loss(config: Config, tmp_path: Path) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        job = Job(changed(config, precision=precision), RunFolder(tmp_path / precision), 1)
        losses.append(run_worker(job, choose_context(job.config))["history"][-1]["train/loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_best_epoch_breaks_ties_by_ner_then_takes_the_first() -> None:
    rows = [(0.5, 0.7), (0.6, 0.7), (0.6, 0.8), (0.6, 0.8)]
    history = [{"epoch": i + 1.0, "dev/re_plus_f1": r, "dev/ner_f1": n} for i, (r, n) in enumerate(rows)]
    assert [best_epoch(history[:length]) for length in range(1, 5)] == [1, 2, 3, 3]
    assert best_epoch([{"epoch": 1.0, "train/loss": 2.0}]) is None


def test_the_summary_is_mean_and_sample_deviation() -> None:
    def result(f1: float) -> dict[str, Any]:
        level = {"micro": {"f1": f1}}
        return {"seed": 1, "scores": {"dev": {"scores": {"ner": level, "re": level, "re_plus": level}}}}

    fit = FitResult("x", Path(), [result(0.5), result(0.6)])
    assert fit.summary() == ["dev: NER 55.0 ± 7.1  RE 55.0 ± 7.1  RE+ 55.0 ± 7.1"]
    assert fit.best == result(0.6)


def test_read_result_of_an_unfinished_run_is_none(tmp_path: Path) -> None:
    assert read_result(tmp_path) is None


def test_room_is_computed_from_the_cluster_or_its_autoscalers_limit() -> None:
    resources = {"CPU": 8.0, "GPU": 2.0}
    there = Capacity([resources])
    assert room_for(ScalingPlan(2, 1.0, 0.0), there, None) == 4
    assert room_for(ScalingPlan(1, 1.0, 1.0), there, None) == 2
    assert room_for(ScalingPlan(1, 1.0, 0.5), there, None) == 4
    assert room_for(ScalingPlan(4, 1.0, 1.0), Capacity([{"CPU": 2.0}]), 8) == 2
    with pytest.raises(InputError, match=r"one training needs 3 × 1 CPU and 1 GPU, the cluster has 8 CPU and 2 GPU"):
        room_for(ScalingPlan(3, 1.0, 1.0), there, None)
    with pytest.raises(InputError, match=r"cluster\.max_workers = 2 is below it"):
        room_for(ScalingPlan(4, 1.0, 0.0), Capacity([{"CPU": 2.0}]), 2)
    nodes = Capacity([{"CPU": 4.0}, {"CPU": 2.0}])
    alone = ScalingPlan(1, 1.0, 0.0)
    assert [shared_out(alone, trials, nodes).cpus for trials in (1, 2, 3, 4, 6, 9)] == [4.0, 2.0, 2.0, 1.0, 1.0, 1.0]
    assert shared_out(ScalingPlan(2, 1.0, 0.0), 1, nodes).cpus == 2.0, "each worker on one node"
    config = load_config(None, {"cluster.num_workers": 2})
    assert scaling_plan(config, {"CPU": 8.0}, trials=False) == ScalingPlan(2, 4.0, 0.0)
    assert scaling_plan(config, {"CPU": 8.0}, trials=True) == ScalingPlan(2, 1.0, 0.0)
    assert scaling_plan(config, resources, trials=False) == ScalingPlan(2, 1.0, 1.0)


def test_a_dead_clusters_address_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert connection._no_cluster_here(), "no cluster was ever started"
    left = tmp_path / "ray" / "ray_current_cluster"
    left.parent.mkdir()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        left.write_text(f"127.0.0.1:{server.getsockname()[1]}")
        assert connection._no_cluster_here(), "nothing listens there"
        server.listen()
        assert not connection._no_cluster_here()
    monkeypatch.setenv("RAY_ADDRESS", "somewhere:1")
    assert not connection._no_cluster_here()


def test_a_training_is_described_in_words_and_numbers(tmp_path: Path) -> None:
    records = tiny_records(6)
    path = write_corpus(tmp_path / "tiny", {"train": records, "dev": records[:2]})
    config = load_config("conll04", {"data.path": str(path), "model.cnn.hidden": "[256, 128]"})
    corpus = load_corpus(config.data)
    assert described(config, corpus, 3) == (
        "TablERT-CNN on tiny (train 6 sentences, dev 2 sentences). Encoder bert-base-cased (updated); 30 epochs of batches of "
        "8, learning rate 0.001 (encoder 5e-05), seed 3."
    )
    params = flat_public(config)
    assert (params["model.depth"], params["model.width"]) == (3, 256) and "model.cnn.hidden" in params
    assert "model.depth" not in flat_public(load_config("spert"))
