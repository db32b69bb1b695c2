"""The wheel with [cpu] alone, installed into an empty environment: it predicts, and what trains is not there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

pytestmark = [pytest.mark.dist, pytest.mark.timeout(600)]
GOLDEN = ROOT / "tests" / "data" / "golden"
MOST_MB = 250


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the newest wheel of `dist/` (`make dist`)."""
    wheels = sorted((ROOT / "dist").glob("*.whl"), key=lambda path: path.stat().st_mtime)
    assert wheels, "make dist writes the wheel"
    folder = tmp_path_factory.mktemp("env") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    words = ["-c", str(ROOT / "constraints.txt"), f"{wheels[-1]}[cpu]"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *words], check=True)
    return folder


def run(environment: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A command of the environment, somewhere else than in the source."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [str(environment / "bin" / words[0]), *words[1:]],
        cwd=environment,
        env=clean,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_predicts_what_the_source_predicts(environment: Path) -> None:
    texts = (GOLDEN / "texts.txt").read_text(encoding="utf-8")
    done = run(environment, "tablert", "predict", "--model", str(GOLDEN / "bundle" / "cnn-fp32"), stdin=texts)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    expected = [json.loads(line) for line in (GOLDEN / "expected" / "cnn.jsonl").read_text("utf-8").splitlines()]

    def spans(tree: dict) -> list:  # type: ignore[type-arg]
        return [(e["start"], e["end"], e["type"]) for e in tree["entities"]]

    assert [spans(f) for f in found] == [spans(e) for e in expected]
    assert any(spans(f) for f in found)


def test_what_trains_is_not_there(environment: Path) -> None:
    absent = ("torch", "ray", "mlflow", "transformers", "matplotlib", "scipy")
    code = f"from importlib.util import find_spec; print(*[m for m in {absent!r} if find_spec(m)])"
    done = run(environment, "python", "-c", code)
    assert done.stdout.split() == [], done.stderr
    size = sum(f.stat().st_size for f in environment.rglob("*") if f.is_file() and not f.is_symlink())
    assert size < MOST_MB * 1e6, f"{size / 1e6:.0f} MB"


@pytest.mark.parametrize(
    ("words", "module"),
    [
        (["tablert", "train", "--config", "sample"], "torch"),
        (["tablert", "tune", "--config", "sample", "--space", "smoke"], "torch"),
        (["tablert-export", "--onnx", "--checkpoint", str(GOLDEN / "checkpoint" / "cnn"), "--out", "b"], "torch|onnx"),
        (["tablert", "predict", "--model", str(GOLDEN / "checkpoint" / "cnn")], "torch|safetensors"),
        (["tablert", "serve", "--bundle", str(GOLDEN / "bundle" / "cnn-fp32")], "fastapi|uvicorn|prometheus_client"),
    ],
)
def test_a_missing_extra_is_one_sentence(environment: Path, words: list[str], module: str) -> None:
    done = run(environment, *words, stdin="Ada .\n")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(rf"({module}).*pip install 'tablert-dist\[(train|serve)\]'", done.stderr), done.stderr
