"""Lines to paste: they name a program that this shell finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tablert_dist.cli import program


def script(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\necho called\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a `.venv` whose Python this process seems to be, and no `tablert` on PATH."""
    folder = tmp_path / "my project"
    script(folder / ".venv" / "bin" / "tablert")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "executable", str(folder / ".venv" / "bin" / "python"))
    monkeypatch.setattr(program.sysconfig, "get_path", lambda *scheme: str(folder / ".venv" / "bin"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return folder


def test_the_script_beside_python_is_named_where_path_has_another(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program.paste("tablert", "predict", "--model", "a b") == ".venv/bin/tablert predict --model 'a b'"
    script(environment / "other" / "tablert")
    monkeypatch.setenv("PATH", f"{environment / 'other'}:/usr/bin:/bin")
    assert program.paste("tablert", "status") == ".venv/bin/tablert status"
    monkeypatch.setenv("PATH", f"{environment / '.venv' / 'bin'}:/usr/bin:/bin")
    assert program.paste("tablert", "status") == "tablert status"


def test_a_pasted_line_runs_from_any_folder(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (environment, environment / ".venv" / "bin", environment.parent):
        monkeypatch.chdir(folder)
        line = program.paste("tablert", "status")
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
        assert done.stdout == "called\n", done.stderr


def test_without_a_script_the_module_is_named(environment: Path) -> None:
    (environment / ".venv" / "bin" / "tablert").unlink()
    assert program.paste("tablert", "status") == ".venv/bin/python -m tablert_dist.cli status"
    assert program.paste("tablert-export", "--onnx") == ".venv/bin/python -m export.cli --onnx"


def test_a_name_that_is_taken_is_not_proposed(environment: Path) -> None:
    assert program.free_name("bundle", "first") == "bundle"
    (environment / "bundle").mkdir()
    assert program.free_name("bundle", "first") == "bundle-first"
    assert program.near(environment / "runs" / "a") == "runs/a" and program.near("/else/where") == "/else/where"
