"""`tablert quick`: what it refuses before it makes anything, how it stops, how it goes on. Learning: tests/e2e."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tablert_dist.cli import main
from tablert_dist.cli.quick import plan
from tablert_dist.storage.checkpoint_folder import WEIGHTS
from tests.support import DATA
from tests.support.printed import printed_commands

EXPORT = DATA / "quick" / "export.json"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def quick(*words: object) -> Result:
    return CliRunner().invoke(main, ["quick", *(str(word) for word in words)])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.json"], "nothing.json does not exist"),
        ([EXPORT, "--set", "train.epoch=2"], "train.epoch"),
        ([EXPORT, "--set", "data.path=x"], "--set data.path: it is what this command makes"),
        ([EXPORT, "--set", "train.storage=x"], "choose the folder with --out"),
        ([EXPORT, "--name", "a/b"], "run name 'a/b'"),
        ([EXPORT, "--resume"], "there is no folder export; leave --resume out"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(words: list[object], said: str, here: Path) -> None:
    done = quick(*words)
    assert done.exit_code == 2 and said in done.stderr
    assert list(here.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(here: Path) -> None:
    (here / "ships").mkdir()
    (here / "ships" / "mine.txt").write_text("kept", encoding="utf-8")
    done = quick(EXPORT, "--name", "ships")
    assert done.exit_code == 2
    assert f"quick {EXPORT} --name ships --resume, or choose another --name or --out" in done.stderr
    assert [p.name for p in (here / "ships").iterdir()] == ["mine.txt"]


def test_a_step_that_fails_says_why_and_what_to_do_and_leaves_what_was_done(here: Path) -> None:
    tasks = json.loads(EXPORT.read_text(encoding="utf-8"))
    tasks[3]["annotations"][0]["result"][0]["value"]["end"] = "x"
    (here / "bad.json").write_text(json.dumps(tasks), encoding="utf-8")
    done = quick("bad.json", "--strict")
    assert done.exit_code == 2 and "error: bad.json: record 3" in done.stderr
    assert "stopped at step 1 of 9" in done.output and "delete bad, and run the command again" in done.output
    assert "tablert data convert bad.json bad/data.json --strict" in done.output
    few = json.loads(EXPORT.read_text(encoding="utf-8"))[:2]
    (here / "few.json").write_text(json.dumps(few), encoding="utf-8")
    done = quick("few.json")
    assert "stopped at step 3 of 9" in done.output and "error: 2 groups of sentences" in done.stderr
    assert (here / "few" / "data.json").is_file() and (here / "few" / "check.html").is_file()


def test_options_go_to_the_steps_that_know_them() -> None:
    steps = plan(EXPORT, "n", Path("n"), ("train.epochs=2", "data.overlap=keep-gold", "predict.min_entity=0.5"))
    given = [[word for word in step.words if "=" in word and not word.startswith("train=0.7")] for step in steps]
    fixed = ["cluster.num_workers=0", "train.storage=n/runs"]
    assert given[1] == ["data.overlap=keep-gold"]
    assert given[3] == [*fixed, "train.epochs=2", "data.overlap=keep-gold"]
    assert given[5] == ["data.overlap=keep-gold", "predict.min_entity=0.5"] and given[8] == ["predict.min_entity=0.5"]


@pytest.mark.slow
def test_every_step_with_a_tiny_encoder_and_on_from_where_it_stopped(here: Path, tiny_encoder: str) -> None:
    words = [EXPORT, "--out", "all", "--set", f"model.encoder={tiny_encoder}", "--set", "tracking.enabled=false"]
    words += ["--set", "train.epochs=1"]
    stopped = quick(*words)
    assert stopped.exit_code == 1 and "nothing was compared: " in stopped.stdout, "one epoch finds nothing"
    assert "stopped at step 5 of 9" in stopped.stdout and not (here / "all" / "bundle").exists()
    assert "--resume --set export.allow=REASON" in stopped.stdout, "the way out"
    words += ["--set", "export.allow=a test of one epoch"]
    done = quick(*words, "--resume")
    assert done.exit_code == 0, done.output
    assert len(printed_commands(done.stdout)) == 9
    made = {p.name for p in (here / "all").iterdir()}
    expected = {"data.json", "check.html", "data", "runs", "bundle", "errors.html", "test.jsonl", "predicted.jsonl"}
    assert made == expected and [p.name for p in here.iterdir()] == ["all"]
    lines = done.stdout.splitlines()
    assert sum(line.startswith("next: ") for line in lines) == 3, "the steps' own are left out"
    assert sum(line.startswith("    -> ") for line in lines) >= 5
    weights = next((here / "all" / "runs" / "export" / "seed-1").glob("epoch_*")) / WEIGHTS
    before = weights.stat().st_mtime_ns
    shutil.rmtree(here / "all" / "bundle")
    (here / "all" / "errors.html").unlink()
    again = quick(*words, "--resume")
    assert again.exit_code == 0, again.output
    assert "done before: all/data.json" in again.stdout and "done before: all/data\n" in again.stdout
    assert "epoch 1/1" not in again.stdout and {p.name for p in (here / "all").iterdir()} == expected
    assert weights.stat().st_mtime_ns == before, "it is not trained again"
