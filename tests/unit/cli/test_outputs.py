"""What the verbs write has one owner: nothing is written over without --force, and an output is one process's at a time."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from export.cli import main as tablert_export
from tablert_dist.cli import main
from tests.support.lines import told
from tests.unit.cli.test_verbs import BUNDLE, CHECKPOINT, CORPUS

TEXTS = "".join(f"Ada works at Acme {i} .\n" for i in range(6000))


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def export(*words: object) -> Result:
    return CliRunner().invoke(tablert_export, ["--onnx", *(str(word) for word in words)])


Verb = Callable[..., Result]
VERBS: dict[str, tuple[Verb, list[object], str]] = {
    "evaluate --out": (run, ["evaluate", "--model", BUNDLE, "--data", CORPUS, "--out"], "scores.json"),
    "evaluate --report": (run, ["evaluate", "--model", BUNDLE, "--data", CORPUS, "--report"], "errors.html"),
    "render": (run, ["render", "--model", BUNDLE, "--text", "Ada works at Acme .", "--out"], "page.html"),
    "data check": (run, ["data", "check", CORPUS, "--html"], "check.html"),
    "data constraints": (run, ["data", "constraints", CORPUS, "--out"], "rules.json"),
    "data convert": (run, ["data", "convert", CORPUS / "tiny_dev.json"], "dev.jsonl"),
    "data sample": (run, ["data", "sample", CORPUS / "tiny_train.json", "--n", "3", "--out"], "three.json"),
    "predict": (run, ["predict", "--model", BUNDLE, "--in", "in.txt", "--out"], "out.jsonl"),
    "export --zip": (export, ["--model", CHECKPOINT, "--zip", "--out", "b"], "b.zip"),
}


@pytest.mark.parametrize("name", VERBS)
def test_a_file_that_is_there_is_written_over_with_force_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("Ada works at Acme .\n")
    verb, words, out = VERBS[name]
    words = words if out == "b.zip" else [*words, out]
    (tmp_path / out).write_text("mine")
    done = verb(*words)
    assert done.exit_code == 2 and f"{out} exists" in done.stderr and "--force" in done.stderr, done.output
    assert len(told(done.stderr)) == 1 and (tmp_path / out).read_text() == "mine"
    forced = verb(*words, "--force")
    assert forced.exit_code in {0, 1}, forced.output  # 1: data check has found errors
    assert (tmp_path / out).read_bytes() != b"mine"
    assert not list(tmp_path.glob(".*")), "no lease and no part is left"


def test_a_folder_is_replaced_by_what_is_of_its_kind_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    split = ["data", "split", CORPUS / "tiny_train.json", "--parts", "train=0.5,dev=0.5", "--out", "parts"]
    assert run(*split).exit_code == 0
    assert "or replace it with --force" in run(*split).stderr
    (tmp_path / "parts" / "old.json").write_text("{}")
    assert run(*split, "--force").exit_code == 0 and not (tmp_path / "parts" / "old.json").exists()
    (tmp_path / "parts" / "thesis.odt").write_text("years of work")
    refused = run(*split, "--force")
    assert refused.exit_code == 2 and "is not an empty folder: choose another --out" in refused.stderr
    assert (tmp_path / "parts" / "thesis.odt").exists()
    words = ["--model", CHECKPOINT, "--out", "b"]
    shutil.copytree(BUNDLE, tmp_path / "b")
    assert "replace the bundle there with --force" in export(*words).stderr
    (tmp_path / "b" / "mark").write_text("x")
    assert export(*words, "--force").exit_code == 0 and not (tmp_path / "b" / "mark").exists()
    refused = export("--model", CHECKPOINT, "--out", "parts", "--force")
    assert refused.exit_code == 2 and (tmp_path / "parts" / "thesis.odt").exists()


def interrupted(folder: Path) -> list[object]:
    """A prediction that was killed after its first part; the words that resume it."""
    (folder / "in.txt").write_text(TEXTS)
    words = ["predict", "--model", BUNDLE, "--in", folder / "in.txt", "--out", folder / "out.jsonl"]
    command = [sys.executable, "-m", "tablert_dist.cli", *(str(w) for w in words)]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    about = folder / ".out.jsonl.part.json"
    while not (about.exists() and "sha256" in about.read_text()):
        assert child.poll() is None
        time.sleep(0.002)
    child.kill()
    child.wait()
    assert not (folder / "out.jsonl").exists(), "it was killed in the middle"
    return [*words, "--resume"]


def test_two_processes_do_not_write_one_output(tmp_path: Path) -> None:
    """The second is refused while the first is there, also when it says --resume."""
    (tmp_path / "in.txt").write_text("Ada works at Acme .\n")
    words = ["predict", "--model", BUNDLE, "--out", tmp_path / "out.jsonl"]
    command = [sys.executable, "-m", "tablert_dist.cli", *(str(w) for w in words)]
    # The first waits for its standard input.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
        while not (tmp_path / ".out.jsonl.lease").exists():
            assert first.poll() is None
            time.sleep(0.02)
        for more in ([], ["--in", tmp_path / "in.txt", "--resume"], ["--force"]):
            second = run(*words, *more)
            assert second.exit_code == 2, second.output
            assert re.search(rf"out.jsonl is held by process {first.pid} on \S+, since 20", second.stderr)
            assert "wait for its end, or give another --out" in second.stderr
        _, error = first.communicate("Ada works at Acme .\n", timeout=120)
    assert first.returncode == 0, error
    assert (tmp_path / "out.jsonl").read_text().count("\n") == 1 and not list(tmp_path.glob(".*"))


def test_a_killed_predictions_lease_is_taken_over(tmp_path: Path) -> None:
    words = interrupted(tmp_path)
    assert (tmp_path / ".out.jsonl.lease").exists()
    done = run(*words)
    assert done.exit_code == 0, done.output
    texts = [json.loads(line)["text"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert texts == TEXTS.splitlines() and not list(tmp_path.glob(".*"))


def test_another_input_is_not_mixed_in(tmp_path: Path) -> None:
    words = interrupted(tmp_path)
    part = (tmp_path / ".out.jsonl.part").read_bytes()
    (tmp_path / "in.txt").write_text(TEXTS.replace("Acme 7 ", "Bcme 7 "))
    refused = run(*words)
    assert refused.exit_code == 2 and len(told(refused.stderr)) == 1, refused.output
    assert re.search(
        r"in\.txt has changed: its first \d+ lines, of which \S+ holds the results, had the sha256 [0-9a-f]{8} and have "
        r"[0-9a-f]{8} now; delete \S+ to start again, or go on with --accept-changed-data",
        refused.stderr,
    )
    assert (tmp_path / ".out.jsonl.part").read_bytes() == part, "what there was is kept"
    (tmp_path / "in.txt").write_text(TEXTS[:100])
    assert "has changed" in run(*words).stderr, "shorter than what was read"
    (tmp_path / "in.txt").write_text(TEXTS.replace("Acme 7 ", "Bcme 7 "))
    accepted = run(*words, "--accept-changed-data")
    assert accepted.exit_code == 0, accepted.output
    assert (tmp_path / "out.jsonl").read_text().count("\n") == 6000


def test_an_input_that_has_grown_goes_on(tmp_path: Path) -> None:
    words = interrupted(tmp_path)
    (tmp_path / "in.txt").write_text(TEXTS + "Bo works at Acme .\n")
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out.jsonl").read_text().count("\n") == 6001


def test_a_studys_tables_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "layers.md").write_text("mine")
    words = ["study", "layers", "--data", CORPUS, "--name", "s", "--out", tmp_path]
    done = run(*words, "--set", f"train.storage={tmp_path / 'runs'}")
    assert done.exit_code == 2 and "layers.md exists" in done.stderr and "--force" in done.stderr
    assert not (tmp_path / "runs").exists(), "before anything is trained"
