"""Runs at a URL: what is copied, in which order, and what a cut-off copy is worth. A real S3 server on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tablert_dist.config import Config, load_config, with_overrides
from tablert_dist.errors import InputError
from tablert_dist.model import checkpoint as ckpt
from tablert_dist.runs.result import checkpoint_of
from tablert_dist.runs.store import RunStore
from tablert_dist.storage.checkpoint_folder import checkpoints, damage
from tablert_dist.storage.mirror import Mirror
from tablert_dist.storage.remote import Remote
from tablert_dist.train.fit import fit
from tests.support.tiny import tiny_records, write_corpus


@pytest.fixture
def bucket(s3: str) -> Remote:
    """An empty folder of the test's own."""
    return Remote(s3) / f"t{time.monotonic_ns()}"


def test_files_come_back_as_they_went(bucket: Remote, tmp_path: Path) -> None:
    assert bucket.files() == {} and bucket.read("a/b") is None
    source = tmp_path / "x"
    source.write_bytes(os.urandom(9_000_000))
    bucket.put(source, "a/b.bin")
    (bucket / "a").put(source, "c")
    assert bucket.files() == {"a/b.bin": 9_000_000, "a/c": 9_000_000}
    bucket.get("a/b.bin", tmp_path / "new" / "y")
    assert (tmp_path / "new" / "y").read_bytes() == source.read_bytes() == bucket.read("a/c")
    bucket.delete("a/b.bin")
    bucket.delete("a/b.bin")
    assert list(bucket.files()) == ["a/c"]
    with pytest.raises(FileNotFoundError):
        bucket.get("nothing", tmp_path / "z")
    assert not (tmp_path / "z").exists()


def test_a_folder_through_the_same_door(tmp_path: Path) -> None:
    place = Remote(f"file://{tmp_path}/far")
    (tmp_path / "x").write_text("one")
    place.put(tmp_path / "x", "deep/er/x")
    assert place.files() == {"deep/er/x": 3} and (tmp_path / "far/deep/er/x").read_text() == "one"


def test_urls_that_are_refused() -> None:
    with pytest.raises(InputError, match="must not hold a login"):
        Remote("s3://key:secret@bucket/runs")
    with pytest.raises(InputError, match=r"nosuch://x/y: no file system for such a URL"):
        _ = Remote("nosuch://x/y").place


def config_for(tiny_encoder: str, folder: Path, storage: str) -> Config:
    records = tiny_records(12)
    data = write_corpus(folder / "tiny", {"train": records, "dev": records[:4], "test": records[4:8]})
    return load_config(
        None,
        {"data.path": str(data), "model.encoder": tiny_encoder, "model.cnn.hidden": [8], "train.epochs": 4,
         "optim.encoder_lr": 1e-3, "train.storage": storage, "cluster.num_workers": 0, "tracking.enabled": False},
    )  # fmt: skip


def test_a_run_at_a_url_is_found_from_another_machine(
    tiny_encoder: str, bucket: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted on one machine, continued on another, exported from a third: each an empty cache."""
    monkeypatch.setenv("TABLERT_CACHE", str(tmp_path / "one"))
    calm = fit(config_for(tiny_encoder, tmp_path, str(tmp_path / "runs")), "r")
    config = config_for(tiny_encoder, tmp_path, bucket.url)
    real = Mirror.push

    def dies(self: Mirror, *names: object) -> None:
        real(self)
        if (self.folder / "epoch_002").exists():
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Mirror, "push", dies)
        fit(config, "r")
    with pytest.raises(InputError, match="run 'r' exists in s3://"):
        fit(config, "r")
    monkeypatch.setenv("TABLERT_CACHE", str(tmp_path / "two"))
    with pytest.raises(InputError, match="not finished"):
        checkpoint_of(config, "r")
    there = bucket.files()
    assert "r/seed-1/epoch_002/trainer.pt" in there
    ended = fit(config, "r", resume=True)
    monkeypatch.setenv("TABLERT_CACHE", str(tmp_path / "three"))
    weights = [
        ckpt.load_checkpoint(p)[0].state_dict()
        # Who only reads a run needs no MLflow server.
        for p in (Path(calm.best["checkpoint"]), checkpoint_of(with_overrides(config, {"tracking.enabled": True}), "r"))
    ]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert len(ended.results[0]["history"]) == 4
    assert not [f for f in bucket.files() if f.endswith("trainer.pt")]
    with pytest.raises(InputError, match=r"there is no run 'q' in s3://.*; there are: r"):
        RunStore.find(config, "q")


def test_a_copy_without_its_last_file_is_none(tiny_encoder: str, bucket: Remote, tmp_path: Path) -> None:
    config = config_for(tiny_encoder, tmp_path, str(tmp_path / "runs"))
    seed = Path(fit(config, "r").best["checkpoint"]).parent
    mirror = Mirror(seed, bucket)
    mirror.push()
    names = {p.name for p in checkpoints(seed)}
    newest = max(names)
    bucket.delete(f"{newest}/{ckpt.META}")
    other = Mirror(tmp_path / "other", bucket)
    other.pull()
    assert {p.name for p in checkpoints(tmp_path / "other")} == names - {newest}
    assert all(damage(p) is None for p in checkpoints(tmp_path / "other"))
    mirror.push()
    other.pull()
    assert {p.name for p in checkpoints(tmp_path / "other")} == names


def test_an_unreachable_storage_is_a_sentence(tiny_encoder: str, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"s3://bucket/runs?scheme=http&endpoint_override=127.0.0.1:{port}&region=x"
    with pytest.raises(InputError, match=r"train\.storage = s3://bucket/runs: "):
        fit(config_for(tiny_encoder, tmp_path, url), "r")


def test_a_url_needs_an_mlflow_server(tiny_encoder: str, tmp_path: Path) -> None:
    config = config_for(tiny_encoder, tmp_path, "s3://bucket/runs")
    tracked = config.model_copy(update={"tracking": config.tracking.model_copy(update={"enabled": True})})
    with pytest.raises(InputError, match=r"give an MLflow server with --set tracking\.uri"):
        fit(tracked, "r")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A moto server with one bucket; its URL for pyarrow."""
    yield from s3_server()


def s3_server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before = dict(os.environ)
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                # A bare connection to a port that nobody listens on yet may connect to itself.
                urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until
                time.sleep(0.1)
        from pyarrow import fs

        options = f"scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1&allow_bucket_creation=true"
        fs.FileSystem.from_uri(f"s3://tablert?{options}")[0].create_dir("tablert")
        yield f"s3://tablert/runs?scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1"
    finally:
        process.kill()
        process.wait()
        os.environ.clear()
        os.environ.update(before)
