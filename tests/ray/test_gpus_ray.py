"""Ray is told of two cards that are not there: one training over both, several trials to a card, on a CPU's GPU path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tablert_dist.config import Config, load_config
from tablert_dist.gpu.path import VARIABLE
from tablert_dist.train.fit import fit
from tablert_dist.tune.search import search
from tablert_dist.tune.space import Space
from tests.support.tiny import tiny_records, write_corpus

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def two_cards() -> Iterator[Any]:
    """A local cluster that believes in two GPUs; its workers take the path of one."""
    import ray

    ray.init(
        # Said, because a killed cluster leaves its address behind, and Ray would connect to that.
        address="local",
        num_cpus=12,
        num_gpus=2,
        include_dashboard=True,
        log_to_driver=False,
        runtime_env={"env_vars": {VARIABLE: "1", "OMP_NUM_THREADS": "1"}},
    )
    yield ray
    ray.shutdown()


def config_for(encoder: str, folder: Path, **overrides: Any) -> Config:
    records = tiny_records(20)
    corpus = write_corpus(folder / "tiny", {"train": records, "dev": records[:5], "test": records[5:8]})
    changes = {
        "data.path": str(corpus),
        "model.encoder": encoder,
        "model.cnn.hidden": [8],
        "train.storage": str(folder / "runs"),
        "train.epochs": 2,
        "train.device": "cpu",
        "train.precision": "bf16",
        "tracking.enabled": False,
    }
    return load_config(None, changes | overrides)


def shares_asked_for() -> Counter[float]:
    """The cards that each Ray Train worker asked of the cluster, those that have ended too."""
    from ray import get_runtime_context
    from ray.util.state import list_actors

    actors = list_actors(address=get_runtime_context().gcs_address, detail=True, limit=1000)
    workers = [a.required_resources for a in actors if "TrainWorker" in a.class_name]
    return Counter(max((v for key, v in asked.items() if key.startswith("GPU")), default=0.0) for asked in workers)


def test_one_training_has_both_cards(two_cards: Any, tiny_encoder: str, tmp_path: Path) -> None:
    config = config_for(tiny_encoder, tmp_path, **{"cluster.num_workers": 2, "cluster.gpus_per_worker": 1.0})
    result = fit(config, "both")
    (row,) = result.results
    assert row["epoch"] in {1, 2}
    assert len(row["history"]) == 2
    assert shares_asked_for() == {1.0: 2}


def test_trials_share_a_card(two_cards: Any, tiny_encoder: str, tmp_path: Path) -> None:
    before = shares_asked_for()
    config = config_for(tiny_encoder, tmp_path, **{"cluster.gpus_per_worker": 0.2, "train.epochs": 1})
    said: list[str] = []
    space = Space("shares", {"model.cnn.kernel_size": (1, 3)})
    result, _, _ = search(config, space, "shared", resume=False, say=said.append)
    assert all(trial.finished for trial in result.trials)
    (line,) = [line for line in said if line.startswith("run shared")]
    assert line.endswith("2 trials, 2 at once, each 1 × 1 CPU and 0.2 GPU (5 to a card)")
    assert shares_asked_for() - before == {0.2: 2}
