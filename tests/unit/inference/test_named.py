"""What names a model: each kind is found, the nearest comes first, and what is none is refused in one sentence."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tablert_dist.config import Config, load_config
from tablert_dist.errors import InputError
from tablert_dist.inference.archive import pack
from tablert_dist.inference.named import find_bundle, find_checkpoint, find_model, identity
from tablert_dist.runs.store import RunStore
from tablert_dist.tracking import begin_run, default_uri, register
from tests.support import GOLDEN

BUNDLE, CHECKPOINT = GOLDEN / "bundle" / "cnn-fp32", GOLDEN / "checkpoint" / "cnn"
MICRO = {"micro": {"f1": 0.5}}
SCORES = {"dev": {"scores": {"re_plus": MICRO}}}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(None, {"train.storage": str(tmp_path / "runs"), "tracking.enabled": "false"})


@pytest.fixture
def trained(config: Config) -> Path:
    """A finished training `first`: one seed with one checkpoint."""
    run = RunStore.open(config, "first", False, "train")
    checkpoint = run.path / "seed-1" / "epoch_001"
    shutil.copytree(CHECKPOINT, checkpoint)
    run.update(results=[{"checkpoint": str(checkpoint), "scores": SCORES}], status="finished")
    return run.path


@pytest.fixture
def searched(config: Config) -> Path:
    """A finished search `best`: a trial, and the bundle of its checkpoint."""
    run = RunStore.open(config, "best", False, "tune")
    checkpoint = run.path / "trial-00" / "epoch_001"
    shutil.copytree(CHECKPOINT, checkpoint)
    shutil.copytree(BUNDLE, run.path / "bundle")
    run.folder.write("result.json", {"checkpoint": str(checkpoint), "bundle": str(run.path / "bundle")})
    return run.path


def test_paths_are_what_they_hold(config: Config, tmp_path: Path) -> None:
    packed = pack(BUNDLE, tmp_path / "b.zip")
    for path in (BUNDLE, CHECKPOINT, packed):
        assert find_model(str(path), config) == path
    assert find_checkpoint(str(CHECKPOINT), config, "") == CHECKPOINT
    assert find_bundle(str(BUNDLE), config) == BUNDLE
    assert (find_bundle(str(packed), config) / "manifest.json").is_file()


def test_a_run_is_its_bundle_or_else_its_best_checkpoint(config: Config, trained: Path, searched: Path) -> None:
    for name in ("first", str(trained)):
        assert find_model(name, config) == trained / "seed-1" / "epoch_001"
    for name in ("best", str(searched)):
        assert find_model(name, config) == searched / "bundle"
        assert find_checkpoint(name, config, "") == searched / "trial-00" / "epoch_001"


def test_a_runs_folder_may_have_been_moved(config: Config, trained: Path, tmp_path: Path) -> None:
    trained.rename(tmp_path / "elsewhere")
    assert find_model(str(tmp_path / "elsewhere"), config) == tmp_path / "elsewhere" / "seed-1" / "epoch_001"


def test_a_path_comes_before_a_run(
    config: Config, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(BUNDLE, "first")
    assert find_model("first", config) == Path("first")


def test_a_registered_model_is_downloaded_for_as_long_as_the_process(tmp_path: Path) -> None:
    uri = default_uri(tmp_path / "runs")
    shutil.copytree(BUNDLE, tmp_path / "model" / "artifacts" / "bundle")
    shutil.copytree(CHECKPOINT, tmp_path / "model" / "checkpoint")
    with begin_run(tmp_path / "run", uri=uri, experiment="registry", name="r") as tracker:
        tracker.artifact(tmp_path / "model", "")
        for name in ("artifacts", "checkpoint"):
            tracker.artifact(tmp_path / "model" / name, f"model/{name}")
    assert tracker.uid is not None
    register(uri, "tablert", tracker.uid, "model", "champion")
    config = load_config(None, {"train.storage": str(tmp_path / "runs")})
    names = ("models:/tablert@champion", "models:/tablert/1")
    found = [find_model(name, config) for name in names]
    assert all((folder / "manifest.json").is_file() for folder in found) and found[0] != found[1]
    # The folder is another each time: a prediction that is resumed goes by what is in it.
    assert identity(names[0], found[0]) == identity(names[0], found[1]).replace(names[1], names[0])
    assert (find_checkpoint(names[0], config, "") / "checkpoint.json").is_file()
    code = f"""
from tablert_dist.config import load_config
from tablert_dist.inference.named import find_model
print(find_model("models:/tablert@champion", load_config(None, {{"train.storage": {str(tmp_path / "runs")!r}}})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not Path(done.stdout.strip()).exists(), "gone with the process"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fist", "no run of that name in .*runs; did you mean 'first'"),
        ("no/such/bundle", "no such file or folder, and no run"),
        ("owner/nothing", "cannot be had from the hub: .*no run of that name"),
        ("nope.zip", "there is no model 'nope.zip'"),
    ],
)
def test_what_is_nothing_is_refused_with_where_was_looked(config: Config, trained: Path, name: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as refusal:
        find_model(name, config)
    assert "\n" not in str(refusal.value)


def test_a_mistyped_path_is_not_looked_for_on_the_hub(
    config: Config, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parent.parent)
    with pytest.raises(InputError, match="did you mean 'first'") as refusal:
        find_model("runs/fist", config)
    assert "hub:" not in str(refusal.value)


def test_what_is_there_but_no_model_is_refused(config: Config, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"neither a bundle \(manifest.json"):
        find_model(str(tmp_path / "empty"), config)
    with pytest.raises(InputError, match=r"cnn-fp32 is an exported bundle: it is exported already"):
        find_checkpoint(str(BUNDLE), config, "it is exported already")
    with pytest.raises(InputError, match="export it first with tablert-export --onnx --model first --out"):
        find_bundle("first", config)
    RunStore.open(config, "half", False, "train")
    with pytest.raises(InputError, match="'half' is not finished"):
        find_model("half", config)
    RunStore.open(config, "many", False, "study")
    with pytest.raises(InputError, match="'many' is a study"):
        find_model("many", config)
