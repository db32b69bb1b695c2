"""`tablert quick` on 50 annotated sentences, as its reader types it; they were written for this test."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tablert_dist.data import formats
from tests.e2e.test_own_data import commands_here
from tests.support import DATA
from tests.support.printed import printed_commands

EXPORT = DATA / "quick" / "export.json"


def test_the_export_is_50_sentences_and_nothing_is_left_out() -> None:
    notes = formats.Notes()
    sentences = list(formats.iterate(EXPORT, notes=notes))
    assert len(sentences) == 50 and notes.lines() == []
    assert {e.type for s in sentences for e in s.entities} == {"Dish", "Ingredient", "Region"}
    assert {r.type for s in sentences for r in s.relations} == {"contains", "comes_from"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_quick_learns_from_50_sentences(tmp_path: Path, minilm: str) -> None:
    done = subprocess.run(
        ["tablert", "quick", str(EXPORT), "--name", "recipes"],
        cwd=tmp_path,
        env=commands_here(tmp_path / "bin"),
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (test,) = re.findall(r"^test: NER .* RE\+ ([\d.]+)$", done.stdout, re.MULTILINE)
    assert float(test) > 50, done.stdout
    verbs = printed_commands(done.stdout)
    assert verbs == [
        *("data convert", "data check", "data split", "train", "export"),
        *("evaluate", "evaluate", "data convert", "predict"),
    ]
    (_, after) = done.stdout.split("5 of 8 test sentences", 1)
    assert "->" in after and after.count("\nnext: ") == 3
    assert (tmp_path / "recipes" / "errors.html").is_file()
    assert {p.name for p in tmp_path.iterdir()} == {"bin", "recipes"}, "everything lies in one folder"
