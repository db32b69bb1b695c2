"""What a shell is offered: click's completion, run as a shell runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tablert_dist.cli import main
from tablert_dist.config import Config
from tablert_dist.runs.store import RunStore


def offered(*words: str, cwd: Path) -> list[str]:
    """The plain completions of the last word."""
    typed = {"COMP_WORDS": " ".join(["tablert", *words]), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-m", "tablert_dist.cli"],
        env={**os.environ, "_TABLERT_COMPLETE": "bash_complete", **typed},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return [line.removeprefix("plain,") for line in done.stdout.splitlines() if line.startswith("plain,")]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    config = Config.model_validate({"train": {"storage": str(tmp_path / "runs")}, "tracking": {"enabled": False}})
    RunStore.open(config, "first", False, "train")
    return tmp_path


def test_names_are_offered(runs: Path) -> None:
    assert offered("tra", cwd=runs) == ["train"]
    assert offered("data", "con", cwd=runs) == ["constraints", "convert"]
    assert offered("train", "--config", "con", cwd=runs) == ["conll04", "conll04-plus"]
    assert offered("tune", "--space", "s", cwd=runs) == ["small", "smoke"]
    assert offered("train", "--set", "model.cnn.k", cwd=runs) == ["model.cnn.kernel_size="]
    assert offered("predict", "--model", "fi", cwd=runs) == ["first"]
    assert offered("train", "--resume", "", cwd=runs) == ["first"]
    assert offered("config", "optim.w", cwd=runs) == ["optim.weight_decay", "optim.warmup"]
    assert "train" in offered("nosuch", "", cwd=runs), "a mistyped verb is no traceback"


def test_runs_of_the_storage_that_was_named(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert offered("predict", "--model", "fi", cwd=elsewhere) == []
    setting = f"train.storage={runs / 'runs'}"
    assert offered("predict", "--set", setting, "--model", "fi", cwd=elsewhere) == ["first"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_for_the_shell(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0 and f"_TABLERT_COMPLETE={shell}_complete" in done.output
