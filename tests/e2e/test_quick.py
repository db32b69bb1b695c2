"""`tablert quick` on 50 annotated sentences, as its reader types it; they were written for this test."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tablert_dist.data import formats
from tests.e2e.test_own_data import free_port
from tests.support import DATA, ROOT
from tests.support.docs import blocks
from tests.support.outputs import commands_here
from tests.support.printed import printed_commands

EXPORT = DATA / "quick" / "export.json"
PAGE = ROOT / "docs" / "guides" / "transcript.md"


def test_the_export_is_50_sentences_and_nothing_is_left_out() -> None:
    notes = formats.Notes()
    sentences = list(formats.iterate(EXPORT, notes=notes))
    assert len(sentences) == 50 and notes.lines() == []
    assert {e.type for s in sentences for e in s.entities} == {"Dish", "Ingredient", "Region"}
    assert {r.type for s in sentences for r in s.relations} == {"contains", "comes_from"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_transcript_from_a_clone_to_a_served_model(tmp_path: Path, minilm: str) -> None:
    """docs/guides/transcript.md as it is typed; the installation is the one that runs this test."""
    (port, commands) = free_port(), "\n".join(b.text for b in blocks(PAGE) if b.language == "bash")
    for typed, here in (
        ("make install", f"mkdir -p .venv && cp -r {shlex.quote(str(tmp_path / 'bin'))} .venv/bin"),
        (":8000", f":{port}"),
        ("serve --model recipes/bundle", f"serve --model recipes/bundle --set serve.port={port}"),
    ):
        assert typed in commands
        commands = commands.replace(typed, here)
    script = f"set -e -o pipefail -m\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{commands}\n"
    environment = {**commands_here(tmp_path / "bin"), "PYTHONPATH": str(ROOT), "REPOSITORY": str(ROOT)}
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        ["bash", "-c", script], cwd=work, env=environment, capture_output=True, text=True, timeout=840, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (test,) = re.findall(r"^test: NER .* RE\+ ([\d.]+)$", done.stdout, re.MULTILINE)
    assert float(test) > 50, done.stdout
    assert printed_commands(done.stdout) == [
        *("data convert", "data check", "data split", "train", "export"),
        *("evaluate", "evaluate", "data convert", "predict"),
    ]
    (_, after) = done.stdout.split("5 of 8 test sentences", 1)
    assert "->" in after and after.count("\nnext: ") == 3
    (answer,) = re.findall(r'^\{"results":.*\}', done.stdout, re.MULTILINE)
    assert [e["type"] for e in json.loads(answer)["results"][0]["entities"]], "the server's answer"
    folder = work / "tablert_dist"
    assert (folder / "recipes" / "errors.html").is_file()
    made = subprocess.run(
        ["git", "status", "--short"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(made) <= {"??", "recipes/", ".venv/"}, "everything lies in one folder"
