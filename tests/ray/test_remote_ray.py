"""A search on nodes that share no folder: runs at an S3 URL, metrics at an MLflow server, data brought by Ray."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tablert_dist.storage.remote import Remote
from tests.support.nodes import Command, nodes, wait_for
from tests.support.tiny import tiny_records, write_corpus
from tests.unit.storage.test_remote import s3_server

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    yield from s3_server()


def test_a_search_at_a_url_is_killed_resumed_and_exported_elsewhere(
    s3: str,
    server: tuple[str, Callable[[], None], Callable[[], None]],
    tiny_encoder: str,
    tmp_path: Path,
) -> None:
    records = tiny_records(30)
    data = write_corpus(tmp_path / "tiny", {"train": records, "dev": records[:6], "test": records[6:9]})
    space = tmp_path / "two.toml"
    space.write_text('[grid]\n"model.cnn.hidden" = [[8], [16]]\n')
    options = ["--space", str(space), "--data", str(data)]
    settings = {"model.encoder": tiny_encoder, "optim.encoder_lr": "1e-3", "train.epochs": "8", "train.storage": s3}
    settings |= {"tracking.uri": server[0], "export.allow": "a model of thirty sentences"}
    bucket = Remote(s3)
    with nodes(tmp_path, 2) as cluster:
        settings |= {"cluster.address": cluster.address}
        options += [w for key, value in settings.items() for w in ("--set", f"{key}={value}")]

        def saved() -> list[str]:
            return [name for name in bucket.files() if name.startswith("s/trial") and name.endswith("checkpoint.json")]

        with Command(
            tmp_path / "one", "tablert_dist.tune", "--name", "s", *options, TABLERT_CACHE=str(tmp_path / "c1")
        ) as run:
            wait_for(saved, running=run)
        kept = {name.split("/")[1]: json.loads(bucket.read(name) or b"")["notes"]["history"] for name in saved()}
        again = ["--resume", "s", *options]
        with Command(tmp_path / "two", "tablert_dist.tune", *again, TABLERT_CACHE=str(tmp_path / "c2")) as run:
            text = run.end()
    assert "best configuration" in text
    files = bucket.files()
    assert "s/result.json" in files and "s/bundle/table.onnx" in files
    for trial in ("trial-00", "trial-01"):
        result = json.loads(bucket.read(f"s/{trial}/result.json") or b"")
        assert [h["epoch"] for h in result["history"]] == list(range(1, 9))
        assert result["history"][: len(kept.get(trial, []))] == kept.get(trial, []), "no epoch twice"
    out = tmp_path / "exported"
    words = ["--onnx", "--run", "s", "--out", str(out), "--set", f"train.storage={s3}"]
    words += ["--allow", "a model of thirty sentences"]
    with Command(tmp_path / "three", "export.cli", *words, TABLERT_CACHE=str(tmp_path / "c3")) as export:
        export.end()
    assert (out / "manifest.json").is_file()
    assert_tracked(server[0])


def assert_tracked(address: str) -> None:
    """A parent and two children, every epoch's metrics once."""
    from mlflow import MlflowClient

    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("tablert")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    children = [r for r in found if "mlflow.parentRunId" in r.data.tags]
    assert len(children) == 2 and len(found) == 3
    for child in children:
        steps = [m.step for m in client.get_metric_history(child.info.run_id, "dev/re_plus_f1")]
        assert sorted(steps) == list(range(1, 9))
    assert client.get_model_version_by_alias("tablert", "champion").run_id
