"""What of a search needs no Ray: which searches are refused, what fits a cluster."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tablert_dist.cluster import Capacity, ScalingPlan, room_for, scaling_plan
from tablert_dist.config import load_config, with_overrides
from tablert_dist.errors import InputError
from tablert_dist.runs.files import STOPPED
from tablert_dist.runs.folder import RunFolder
from tablert_dist.runs.location import runs_folder
from tablert_dist.tune import search as searching
from tablert_dist.tune.search import plan
from tablert_dist.tune.space import Space, load_space
from tablert_dist.tune.trials import SearchStage, Trial, ranked
from tests.unit.tune.test_ranges import RANGES, written


def test_how_points_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config("conll04")
    paper, wide = (load_space(name, config) for name in ("paper", "wide"))
    assert plan(config, paper) == ("grid", paper.points())
    assert [len(plan(with_overrides(config, {"tune.max_trials": 4}), paper)[1])] == [4]
    assert plan(config, wide)[0] == "random" and len(plan(config, wide)[1]) == 20
    assert plan(with_overrides(config, {"tune.search": "optuna"}), wide) == ("optuna", [])
    with pytest.raises(InputError, match=r"is a range.*--search random or --search optuna"):
        plan(with_overrides(config, {"tune.search": "grid"}), wide)
    monkeypatch.setattr(searching, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'tablert-dist\[optuna\]'"):
        plan(with_overrides(config, {"tune.search": "optuna"}), wide)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"train.select": "last"}, "train.select best_dev"),
        ({"data.train_on": "train+dev"}, "data.train_on must be train"),
        ({"tune.stages": 2, "model.frozen": True}, "leaves nothing for the second stage"),
    ],
)
def test_settings_that_allow_no_search(overrides: dict[str, Any], expected: str) -> None:
    config = load_config("conll04", overrides)
    with pytest.raises(InputError, match=expected):
        plan(config, load_space("paper", config))


def test_two_stages_decide_themselves_what_is_frozen() -> None:
    config = load_config("conll04", {"tune.stages": 2})
    with pytest.raises(InputError, match=r"model\.frozen is what --stages 2 decides"):
        plan(config, Space("x", {"model.frozen": (True, False)}))


@pytest.mark.parametrize(("name", "reason"), [("pbt", "Population Based Training"), ("BOHB", "pauses trials")])
def test_schedulers_that_need_tunes_checkpoints_are_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(InputError, match=rf"tune\.scheduler = '{name}'.*{reason}.*use none, asha or median"):
        load_config("sample", {"tune.scheduler": name})


def test_a_worker_has_to_fit_on_one_node() -> None:
    three = Capacity([{"CPU": 2.0}] * 3)
    assert room_for(ScalingPlan(1, 2.0, 0.0), three, None) == 3
    assert room_for(ScalingPlan(2, 1.0, 0.0), three, None) == 3
    assert room_for(ScalingPlan(4, 1.5, 0.0), Capacity([{"CPU": 2.0}] * 5), None) == 1, "half a CPU a node is of no use"
    with pytest.raises(InputError, match=r"needs 1 × 4 CPU, .*6 CPU and 0 GPU on 3 nodes, its largest node 2 CPU"):
        room_for(ScalingPlan(1, 4.0, 0.0), three, None)
    mixed = Capacity([{"CPU": 16.0}, {"CPU": 2.0, "GPU": 4.0}])
    assert room_for(ScalingPlan(1, 1.0, 1.0), mixed, None) == 2, "its two CPUs are the GPU node's limit"
    with pytest.raises(InputError, match=r"a worker has to fit on one node"):
        room_for(ScalingPlan(1, 4.0, 1.0), mixed, None)


def test_what_an_autoscaler_may_add_counts() -> None:
    head = {"CPU": 2.0}
    grows = Capacity([head], [({"CPU": 8.0}, 3), ({"CPU": 4.0, "GPU": 1.0}, 2)])
    assert room_for(ScalingPlan(1, 8.0, 0.0), grows, None) == 3
    assert room_for(ScalingPlan(2, 4.0, 0.0), grows, None) == 4, "six on the one kind and two on the other"
    assert room_for(ScalingPlan(1, 1.0, 1.0), grows, None) == 2
    with pytest.raises(InputError, match=r"needs 1 × 16 CPU.*its largest node 8 CPU"):
        room_for(ScalingPlan(1, 16.0, 0.0), grows, None)
    with pytest.raises(InputError, match="needs 3 × 1 CPU and 1 GPU"):
        room_for(ScalingPlan(3, 1.0, 1.0), grows, None)
    with pytest.raises(InputError, match=r"its largest node 8 CPU"):
        room_for(ScalingPlan(1, 16.0, 0.0), grows, 50), "no limit on their number makes nodes larger"
    assert room_for(ScalingPlan(1, 8.0, 0.0), Capacity([head], [({"CPU": 8.0}, math.inf)], {"CPU": 40.0}), None) == 5
    assert room_for(ScalingPlan(1, 8.0, 0.0), Capacity([head], [({"CPU": 8.0}, math.inf)]), None) > 1000
    assert room_for(ScalingPlan(1, 8.0, 0.0), Capacity([head]), 4) == 4, (
        "of an autoscaler that says nothing, the user knows"
    )


def test_a_share_of_a_card_lies_on_one_card() -> None:
    two = Capacity([{"CPU": 64.0, "GPU": 2.0}])
    for share, fit in ((0.2, 10), (0.25, 8), (0.3, 6), (0.4, 4), (0.5, 4), (0.6, 2), (1.0, 2), (2.0, 1)):
        assert room_for(ScalingPlan(1, 1.0, share), two, None) == fit, share
    grows = Capacity([], [({"CPU": 64.0, "GPU": 1.0}, math.inf)], {"GPU": 3.0})
    assert room_for(ScalingPlan(1, 1.0, 0.4), grows, None) == 6, "the autoscaler's limit is of whole cards"
    assert str(ScalingPlan(1, 1.0, 0.2)) == "1 × 1 CPU and 0.2 GPU (5 to a card)"
    assert str(ScalingPlan(2, 1.0, 1.0)) == "2 × 1 CPU and 1 GPU"


def test_what_a_worker_gets_of_the_cards() -> None:
    def shape(trials: bool = False, gpus: float = 2.0, **cluster: Any) -> ScalingPlan:
        changes = {key.replace("__", "."): value for key, value in cluster.items()}
        return scaling_plan(load_config(None, changes), {"CPU": 8.0, "GPU": gpus}, trials)

    assert shape() == ScalingPlan(1, 1.0, 1.0)
    assert shape(gpus=0.0) == ScalingPlan(1, 8.0, 0.0)
    assert shape(train__device="cpu") == ScalingPlan(1, 8.0, 0.0)
    assert shape(train__device="cpu", cluster__gpus_per_worker=1.0, cluster__num_workers=2) == ScalingPlan(2, 1.0, 1.0)
    assert shape(trials=True, cluster__gpus_per_worker=0.2) == ScalingPlan(1, 1.0, 0.2)
    with pytest.raises(InputError, match=r"gpus_per_worker = 0\.5 with 2 workers: NCCL refuses two workers"):
        shape(cluster__gpus_per_worker=0.5, cluster__num_workers=2)
    with pytest.raises(InputError, match=r"gpus_per_worker = 0\.5 with 3 workers"):
        shape(cluster__gpus_per_worker=0.5, cluster__num_workers=(1, 3))
    with pytest.raises(InputError, match=r"gpus_per_worker.*a whole number of cards, or a share of one"):
        load_config(None, {"cluster.gpus_per_worker": 1.5})


def row(epoch: int, re_plus: float, ner: float = 0.5) -> dict[str, float]:
    return {"epoch": float(epoch), "dev/re_plus_f1": re_plus, "dev/ner_f1": ner, "dev/re_f1": re_plus}


def trial(index: int, history: list[dict[str, float]], stopped: bool = False) -> Trial:
    return Trial(f"trial-{index:02d}", index, {}, RunFolder(Path()), history, not stopped, stopped)


def test_trials_are_ranked_by_their_best_epoch_and_empty_ones_left_out() -> None:
    trials = [
        trial(0, [row(1, 0.5), row(2, 0.1)]),
        trial(1, []),
        trial(2, [row(1, 0.6)]),
        trial(3, [row(1, 0.5, 0.9)]),
        trial(4, [row(1, 0.5)]),
    ]
    assert [t.index for t in ranked(trials)] == [2, 3, 0, 4]


def test_a_stage_has_a_folder_of_its_own_and_its_trials_keep_their_names(tmp_path: Path) -> None:
    config = load_config("sample", {"train.storage": str(tmp_path)})
    one, staged = (SearchStage(config, RunFolder(tmp_path / "n"), number) for number in (None, 2))
    assert (one.name(3), staged.name(3)) == ("trial-03", "stage-2/trial-03")
    assert one.job(3, {}).folder.path == tmp_path / "n" / "trial-03"
    assert staged.job(3, {}).folder.path == tmp_path / "n" / "stage-2" / "trial-03"
    assert staged.job(0, {"model.cnn.kernel_size": 5}).config.model.cnn.kernel_size == 5
    found = staged.read(3, {})
    assert not found.history and not found.ended
    staged.stop(3, {}, 4)
    found = staged.read(3, {})
    assert found.stopped and not found.finished
    assert not found.ended, "without an epoch left of it there is nothing to rank, so it is run again"
    assert trial(0, [row(1, 0.1)], stopped=True).ended
    assert json.loads((found.folder.path / STOPPED).read_text())["epoch"] == 4


def test_a_trials_journal_is_sent_by_the_search_or_at_a_url_by_its_worker(tmp_path: Path) -> None:
    from tablert_dist.tracking import begin_run

    for storage, sends in ((str(tmp_path), False), ("s3://bucket/runs", True)):
        config = load_config("sample", {"train.storage": storage, "tracking.enabled": False})
        assert SearchStage(config, runs_folder(config).child("n")).job(0, {}).tracked.sends is sends
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    worker = begin_run(tmp_path / "t", uri=uri, experiment="e", name="t", sends=False)
    worker.metrics({"loss": 1.0}, 1)
    assert worker.close("FINISHED") and not (tmp_path / "mlflow.db").exists()
    search = begin_run(tmp_path / "t", uri=uri, experiment="e", name="t")
    assert search.uid == worker.uid and search.close(None)
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("e").experiment_id])
    assert run.data.metrics == {"loss": 1.0} and run.info.status == "FINISHED"


def test_a_search_at_a_url_copies_its_trials_there(tmp_path: Path) -> None:
    config = load_config("sample", {"train.storage": "s3://bucket/runs", "tracking.enabled": False})
    remote = SearchStage(config, runs_folder(config).child("n"), 1).job(2, {}).folder.remote
    assert remote is not None and remote.url == "s3://bucket/runs/n/stage-1/trial-02"


class Given:
    """A live trial, as far as a scheduler looks at one."""

    def __init__(self, name: str) -> None:
        self.trial_id = name


def decisions(scheduler: Any, name: str, rows: list[dict[str, float]]) -> list[str]:
    found: list[str] = []
    given = Given(name)
    scheduler.on_trial_add(None, given)
    for one in rows:
        found.append(scheduler.on_trial_result(None, given, one))
        if found[-1] == "STOP":
            break
    return found


@pytest.mark.parametrize("kind", ["asha", "median"])
def test_a_scheduler_made_after_a_restart_knows_the_trials_that_have_ended(kind: str) -> None:
    from tablert_dist.tune.schedulers import make_scheduler

    config = load_config(
        "sample",
        {"tune.scheduler": kind, "train.epochs": 6, "tune.grace_epochs": 2, "tune.min_samples": 2},
    )
    good = [row(epoch, 0.1 * epoch) for epoch in range(1, 7)]
    poor = [row(epoch, 0.01) for epoch in range(1, 7)]
    fresh = make_scheduler(config, [])
    assert decisions(fresh, "x", poor) == ["CONTINUE"] * 6, "nothing to compare with"
    told = make_scheduler(config, [trial(i, good) for i in range(3)])
    assert decisions(told, "y", poor) == ["CONTINUE", "STOP"], "at the end of the grace epochs"
    assert decisions(told, "z", good) == ["CONTINUE"] * 6
    late = make_scheduler(config, [trial(i, good) for i in range(3)])
    assert decisions(late, "l", poor[5:]) == ["CONTINUE"], "its result is all that is left of it"


def test_the_median_rule_never_pauses() -> None:
    from tablert_dist.tune.schedulers import make_scheduler

    class Waiting:
        def get_live_trials(self) -> list[Any]:
            class Pending:
                status = "PENDING"

            return [Pending()]

    config = load_config("sample", {"tune.scheduler": "median", "train.epochs": 9, "tune.grace_epochs": 1})
    scheduler = make_scheduler(config, [])
    given = Given("a")
    scheduler.on_trial_add(Waiting(), given)
    assert {scheduler.on_trial_result(Waiting(), given, row(e, 0.1)) for e in range(1, 9)} == {"CONTINUE"}


def test_no_scheduler_where_none_could_stop_anything() -> None:
    from tablert_dist.tune.schedulers import make_scheduler

    for overrides in ({}, {"tune.scheduler": "asha", "train.epochs": 2, "tune.grace_epochs": 2}):
        assert make_scheduler(load_config("sample", overrides), []) is None


def test_optuna_goes_on_from_the_record(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    from tablert_dist.tune.optuna_search import RecordedOptuna
    from tablert_dist.tune.trainable import item, read_item

    space = load_space(written(tmp_path, RANGES), load_config("sample"))
    kept: list[list[Any]] = [[]]

    def made(points: list[Any], ended: dict[int, float]) -> Any:
        return RecordedOptuna(
            space, 1, points, ended, lambda new: kept.append(list(new)), lambda i, p: item(f"t{i}", i, p)
        )

    first = made([], {})
    seen = [read_item(first.suggest(f"id{i}")) for i in range(3)]
    assert [s["index"] for s in seen] == [0, 1, 2]
    assert [s["point"] for s in seen] == kept[-1] and len(kept) == 4, "each on record before it is tried"
    first.on_trial_result("id0", {**row(1, 0.7), "training_iteration": 1})
    first.on_trial_complete("id0", {**row(2, 0.2), "training_iteration": 2})
    assert first._ot_study.trials[0].value == 0.7, "the best epoch counts, not the last"
    second = made(kept[-1], {0: 0.7, 2: 0.1})
    assert [t.value for t in second._ot_study.trials if t.state.name == "COMPLETE"] == [0.7, 0.1]
    again, new = (read_item(second.suggest(f"other{i}")) for i in range(2))
    assert again == {"name": "t1", **seen[1]} | {"name": "t1"}, "the unfinished one first, at its point"
    assert new["index"] == 3 and new["point"] not in [s["point"] for s in seen]
    for point in kept[-1]:
        with_overrides(load_config("sample"), point)


def test_what_waits_for_a_trials_workers_loads_no_torch() -> None:
    code = "import tablert_dist.tune.trainable, sys; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
