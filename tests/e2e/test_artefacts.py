"""What a training leaves and logs: no secret anywhere, and no path of this machine in what may leave it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner

from tablert_dist.cli import main
from tablert_dist.tracking import default_uri, store
from tests.support.tiny import tiny_records, write_corpus

SECRETS = {
    "MLFLOW_TRACKING_USERNAME": "planted-name-2207",
    "MLFLOW_TRACKING_PASSWORD": "planted-word-7741",
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED99210",
    "AWS_SECRET_ACCESS_KEY": "planted/key+3313",
    "PGPASSWORD": "planted-pg-5519",
}
LOCAL = {"run.json", "journal.jsonl", "journal.state.json", "mlflow.db"}
"""Files that say where things lie on this machine, for this machine: they stay in the storage, and are not logged."""


def train(folder: Path, encoder: str, *words: str) -> str:
    """Everything that a training of one epoch prints."""
    records = tiny_records(6)
    corpus = write_corpus(folder / "corpus", {"train": records, "dev": records[:3], "test": records[3:]})
    settings = {
        "model.encoder": encoder, "model.cnn.hidden": "[8]", "train.epochs": "1", "cluster.num_workers": "0",
        "train.storage": str(folder / "storage"),
    }  # fmt: skip
    options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    done = CliRunner().invoke(main, ["train", "--data", str(corpus), *options, *words])
    return f"{done.exit_code}\n{done.output}"


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    for key, value in SECRETS.items():
        monkeypatch.setenv(key, value)
    return list(SECRETS.values())


def test_a_runs_artefacts_hold_no_secret_and_no_path(
    tiny_encoder: str, tmp_path: Path, planted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        printed = train(tmp_path, tiny_encoder, "--name", "r")
    assert printed.startswith("0\n"), printed
    storage = tmp_path / "storage"
    files = [path for path in storage.rglob("*") if path.is_file()]
    assert {"run.json", "mlflow.db", "result.json", "model.safetensors", "errors-dev.html"} <= {f.name for f in files}
    for path in files:
        data = path.read_bytes()
        assert [s for s in planted if s.encode() in data] == [], path
        if path.name not in LOCAL:
            assert str(tmp_path).encode() not in data and str(Path.home()).encode() not in data, path
    assert [s for s in planted if s in printed + caplog.text] == []
    logged = [f for f in files if "mlartifacts" in f.parts]
    assert {"result.json", "errors-test.html", "model.safetensors"} <= {f.name for f in logged}
    assert not LOCAL & {f.name for f in logged}, "what says where things lie is not logged"
    client = store.connect(default_uri(storage))
    for run in client.search_runs([e.experiment_id for e in client.search_experiments()]):
        facts = json.dumps([run.data.params, run.data.tags, run.data.metrics])
        assert str(tmp_path) not in facts and not [s for s in planted if s in facts]
    (result,) = storage.glob("r/seed-1/result.json")
    assert "/" not in json.loads(result.read_text())["checkpoint"]


@pytest.mark.parametrize(
    "uri", ["http://ann:planted-9@127.0.0.1:9", "postgresql://ann:plan/ted-9@h/db", "http://h:1?token=planted-9"]
)
def test_a_login_in_an_address_is_refused_before_anything_is_written(
    uri: str, tiny_encoder: str, tmp_path: Path
) -> None:
    printed = train(tmp_path, tiny_encoder, "--name", "r", "--set", f"tracking.uri={uri}")
    assert printed.startswith("2\n") and "error: configuration: tracking.uri" in printed
    assert "must not hold a login" in printed and "ted-9" not in printed
    assert not (tmp_path / "storage").exists()
