"""Every verb that reads data leaves out what cannot be read and says so, and refuses it with --strict."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from export.cli import main as tablert_export
from tablert_dist.cli import main as tablert
from tests.support import GOLDEN
from tests.support.records import write

VERBS = [
    "data check", "data convert", "data split", "data sample", "quick", "evaluate", "render", "train", "tune",
    "study layers", "study main",
]  # fmt: skip


def found(words: str) -> click.Command:
    command: click.Command = tablert
    for word in words.split():
        assert isinstance(command, click.Group)
        inner = command.get_command(click.Context(command), word)
        assert inner is not None
        command = inner
    return command


@pytest.mark.parametrize("verb", [*VERBS, "tablert-export"])
def test_every_verb_that_reads_data_has_both_options(verb: str) -> None:
    command = tablert_export if verb == "tablert-export" else found(verb)
    options = {name for param in command.params for name in param.opts}
    assert {"--strict", "--text-field"} <= options


def call(*words: object) -> Result:
    return CliRunner().invoke(tablert, [str(word) for word in words])


@pytest.mark.parametrize("verb", ["convert", "split", "sample"])
def test_what_is_left_out_is_said_and_refused_with_strict(verb: str, tmp_path: Path) -> None:
    source = write("jsonl", tmp_path, 9, broken=[4])
    out = tmp_path / ("parts" if verb == "split" else "out.json")
    words: dict[str, list[object]] = {"convert": [out], "split": ["--out", out], "sample": ["--n", 8, "--out", out]}
    refused = call("data", verb, source, *words[verb], "--strict")
    assert refused.exit_code == 2 and not out.exists()
    assert f"{source}: record 4" in refused.output and "Traceback" not in refused.output
    done = call("data", verb, source, *words[verb])
    assert done.exit_code == 0, done.output
    assert f"read: 1 record left out: {source}: record 4" in done.output
    files = list(out.glob("*.json")) if out.is_dir() else [out]
    written = [r for f in files if f.stem != "types" for r in json.loads(f.read_text())]
    assert sorted(r["orig_id"] for r in written) == [f"d{n:03}" for n in range(9) if n != 4]
    again = write("jsonl", tmp_path, 9)
    assert call("data", verb, again, *words[verb], "--strict", "--force").exit_code == 0, "without a fault it is read"


def corpus(folder: Path) -> Path:
    """The golden one, with a record of dev and one of test that have no words."""
    shutil.copytree(GOLDEN / "corpus", folder)
    for split, n in (("dev", 1), ("test", 0)):
        file = folder / f"tiny_{split}.json"
        records: list[dict[str, Any]] = json.loads(file.read_text())
        records[n]["tokens"] = 3
        file.write_text(json.dumps(records))
    return folder


def test_the_check_finds_it_and_refuses_it_with_strict(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "tiny")
    done = call("data", "check", folder, "--json")
    (finding,) = [f for f in json.loads(done.stdout)["findings"] if f["check"] == "left out"]
    assert (finding["severity"], finding["count"]) == ("warning", 2)
    refused = call("data", "check", folder, "--strict", "--json")
    assert refused.exit_code == 1 and "record" in refused.output and "left out" not in refused.output


def test_an_evaluation_says_what_it_leaves_out_and_refuses_it_with_strict(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "tiny")
    words = ["evaluate", "--model", GOLDEN / "bundle" / "cnn-fp32", "--data", folder]
    done = call(*words)
    number = len(json.loads((folder / "tiny_test.json").read_text())) - 1
    assert done.exit_code == 0, done.output
    assert "read: 1 record left out: " in done.output and f"{number} sentences scored" in done.output
    refused = call(*words, "--strict")
    assert refused.exit_code == 2 and "tiny_test.json: record 0" in refused.output and "scored" not in refused.output
    by_key = call(*words, "--set", "data.strict=true")
    assert by_key.exit_code == 2 and "tiny_test.json: record 0" in by_key.output
