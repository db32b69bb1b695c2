"""Faults injected for real on a cluster of several nodes; each run must end as the undisturbed one does."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tablert_dist.storage.checkpoint_folder import resumable
from tests.support.nodes import Command, Nodes, epochs_in, nodes, result_of, train_workers, wait_for, weights
from tests.support.reliability import record
from tests.support.tiny import tiny_records, write_corpus, write_tiny_encoder

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(600)]
EPOCHS = 25
RAY = (str(Path(sys.executable).parent / "ray"),)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with nodes(tmp_path_factory.mktemp("nodes"), 3) as made:
        yield made


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A tiny training on real parts, without dropout."""
    folder = tmp_path_factory.mktemp("parts")
    encoder = write_tiny_encoder(folder, dropout=0.0)
    records = tiny_records(40)
    data = write_corpus(folder / "tiny", {"train": records, "dev": records[:6], "test": records[6:9]})
    return {
        "data.path": str(data), "model.encoder": str(encoder), "model.cnn.hidden": "[16]", "model.dropout": "0",
        "model.frozen": "false", "optim.encoder_lr": "1e-3", "train.epochs": str(EPOCHS), "train.select": "last",
        "cluster.num_workers": "2", "cluster.cpus_per_worker": "1",
    }  # fmt: skip


def words(setting: dict[str, str], **changes: object) -> list[str]:
    """The command line; `cluster__address` means `cluster.address`."""
    changed = {**setting, **{key.replace("__", "."): str(value) for key, value in changes.items()}}
    return [w for key, value in changed.items() for w in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def calm(cluster: Nodes, setting: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The undisturbed run, its two ranks on two nodes."""
    storage = tmp_path_factory.mktemp("calm")
    options = words(setting, cluster__address=cluster.address, train__storage=storage)
    with Command(storage / "out", "tablert_dist.train", "--name", "r", *options) as run:
        wait_for(lambda: sum(bool(train_workers(n)) for n in cluster.workers) == 2, running=run)
        assert max(len(train_workers(n)) for n in cluster.workers) == 1, "ranks on different nodes"
        run.end()
    assert len(result_of(storage / "r")["history"]) == EPOCHS
    return storage / "r"


def assert_same_end(calm: Path, struck: Path) -> None:
    assert [h["epoch"] for h in result_of(struck)["history"]] == list(range(1, EPOCHS + 1))
    assert result_of(struck)["scores"]["test"]["scores"] == result_of(calm)["scores"]["test"]["scores"]
    one, other = weights(calm), weights(struck)
    for name, value in one.items():
        assert (value == other[name]).all(), name


def resumed_at(text: str) -> int:
    """The epoch that the workers went on from."""
    return max(int(n) for n in re.findall(r"resuming from \S*epoch_(\d+)", text))


def test_a_worker_dies(cluster: Nodes, setting: dict[str, str], calm: Path, tmp_path: Path) -> None:
    options = words(setting, cluster__address=cluster.address, train__storage=tmp_path)
    with Command(tmp_path / "out", "tablert_dist.train", "--name", "r", *options) as run:
        seed = tmp_path / "r" / "seed-1"
        wait_for(lambda: epochs_in(seed) >= 3, running=run)
        victims = [worker for node in cluster.workers for worker in train_workers(node)]
        assert len(victims) == 2
        victims[1].kill()
        before, at = epochs_in(seed), time.monotonic()
        wait_for(lambda: epochs_in(seed) > before, running=run)
        seconds = time.monotonic() - at
        text = run.end()
    assert before < EPOCHS, "it was killed in the middle"
    assert_same_end(calm, tmp_path / "r")
    record("a worker", "one of two: SIGKILL", seconds, before - resumed_at(text), "same bits")


def test_a_node_dies(cluster: Nodes, setting: dict[str, str], calm: Path, tmp_path: Path) -> None:
    options = words(setting, cluster__address=cluster.address, train__storage=tmp_path)
    with Command(tmp_path / "out", "tablert_dist.train", "--name", "r", *options) as run:
        seed = tmp_path / "r" / "seed-1"
        wait_for(lambda: epochs_in(seed) >= 3, running=run)
        victim = next(n for n in cluster.workers if train_workers(n))
        cluster.kill(victim)
        before, at = epochs_in(seed), time.monotonic()
        wait_for(lambda: epochs_in(seed) > before, running=run)
        seconds = time.monotonic() - at
        text = run.end()
    cluster.add()
    assert before < EPOCHS
    assert_same_end(calm, tmp_path / "r")
    record(
        "a node",
        "raylet, agents and workers of one of 3 nodes: SIGKILL",
        seconds,
        before - resumed_at(text),
        "same bits",
    )


def submitted(folder: Path, words: list[str]) -> Command:
    """`ray job submit`, once the cluster takes it: the agent of a head that has just come up is not there yet."""

    def answered(client: Command) -> bool:
        return "submitted successfully" in client.text or client.process.poll() is not None

    for _ in range(5):
        client = Command(folder, *words, executable=RAY)
        wait_for(partial(answered, client))
        if "No available agent" not in client.text:
            return client
        client.kill()
        time.sleep(2)
    raise TimeoutError(client.text[-4000:])


def test_the_client_that_submitted_the_job_dies(
    cluster: Nodes, setting: dict[str, str], calm: Path, tmp_path: Path
) -> None:
    options = words(setting, train__storage=tmp_path)
    submit = ["job", "submit", "--address", cluster.dashboard, "--submission-id", "orphan", "--"]
    submit += [sys.executable, "-m", "tablert_dist.train", "--name", "r", *options]
    seed = tmp_path / "r" / "seed-1"
    with submitted(tmp_path / "out", submit) as client:
        wait_for(lambda: epochs_in(seed) >= 2, running=client)
        client.kill()
        before, at = epochs_in(seed), time.monotonic()
    wait_for(lambda: epochs_in(seed) > before)
    seconds = time.monotonic() - at
    from ray.job_submission import JobSubmissionClient

    jobs = JobSubmissionClient(cluster.dashboard)
    wait_for(lambda: jobs.get_job_status("orphan").is_terminal())
    assert jobs.get_job_status("orphan") == "SUCCEEDED", jobs.get_job_logs("orphan")[-3000:]
    assert_same_end(calm, tmp_path / "r")
    record("the client of `ray job submit`", "SIGKILL after the second epoch", seconds, 0, "same bits")


def test_the_mlflow_server_is_away_for_a_minute(
    server: tuple[str, Callable[[], None], Callable[[], None]], setting: dict[str, str], tmp_path: Path
) -> None:
    address, start, kill = server
    epochs = 150  # with the minute that the end waits for the server, longer than it is away
    options = words(
        setting, train__storage=tmp_path, train__epochs=epochs, tracking__uri=address, cluster__num_workers=0
    )
    with Command(tmp_path / "out", "tablert_dist.train", "--name", "r", *options, OMP_NUM_THREADS="1") as run:
        seed = tmp_path / "r" / "seed-1"
        wait_for(lambda: epochs_in(seed) >= 3, running=run)
        kill()
        before, at = epochs_in(seed), time.monotonic()
        wait_for(lambda: epochs_in(seed) > before, running=run)
        seconds = time.monotonic() - at
        time.sleep(max(0.0, 60 - seconds))
        went_on = epochs_in(seed)
        start()
        run.end()
    assert went_on > before + 5, "training goes on without the server"
    from mlflow import MlflowClient

    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("tablert")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    for metric in ("train/loss", "dev/re_plus_f1"):
        history = client.get_metric_history(found.info.run_id, metric)
        assert sorted(m.step for m in history) == list(range(1, epochs + 1)), "none lost, none twice"
    record("the MLflow server", "SIGKILL, started again after 60 s", seconds, 0, "every metric there once")


def test_the_disk_of_the_checkpoints_is_full(setting: dict[str, str], calm: Path, tmp_path: Path) -> None:
    """A tmpfs of a megabyte in a mount namespace of its own; what is left there is looked at afterwards."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a mount namespace")
    small, left = tmp_path / "small", tmp_path / "left"
    small.mkdir()
    one = calm / "seed-1" / "epoch_025"
    # With the optimiser's state a checkpoint is thrice its weights and more: room for two, where three come together.
    size = 2 * sum(f.stat().st_size for f in one.rglob("*")) + 5 * (one / "model.safetensors").stat().st_size
    options = words(
        setting,
        train__storage=small,
        cluster__address="local",
        cluster__max_failures=0,
        tracking__uri=f"sqlite:///{tmp_path}/m.db",
    )
    train = " ".join([sys.executable, "-m", "tablert_dist.train", "--name", "r", *(f"'{w}'" for w in options)])
    script = f"mount -t tmpfs -o size={size} none {small} && {train}; code=$?; cp -r {small} {left}; exit $code"
    with Command(tmp_path / "out", "--mount", "sh", "-c", script, executable=("unshare",)) as run:
        assert run.process.wait(300) != 0
        text = run.text
    assert "the disk is full" in text and "Traceback" not in text, text[-3000:]

    good = resumable(left / "r" / "seed-1")
    assert good is not None and not list((left / "r" / "seed-1").glob(".epoch*")), "the last good one is whole"
    resume = words(setting, train__storage=left, cluster__address="local", tracking__uri=f"sqlite:///{tmp_path}/m.db")
    with Command(tmp_path / "again", "tablert_dist.train", "--resume", "r", *resume) as run:
        run.end()
    assert_same_end(calm, left / "r")
    lost = 0
    record(
        "the disk of the checkpoints",
        "tmpfs with room for two checkpoints of three; then `--resume` with room",
        None,
        lost,
        "same bits",
    )
