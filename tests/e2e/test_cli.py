"""The command line as its user meets it: exit codes, one-line errors, nothing written."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tablert_dist.cli import main
from tests.support import GOLDEN
from tests.support.lines import told
from tests.support.tiny import tiny_records, write_corpus


def run(*words: str, cwd: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a module's command in `cwd`."""
    return subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, cwd=cwd, input=stdin, timeout=240, check=False
    )


def here(*words: str, cwd: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """As `run`, in this process, which has imported everything already: for what does not end a process."""
    verbs = {"tablert_dist.cli": [], "tablert_dist.train": ["train"], "tablert_dist.tune": ["tune"]}[words[0]]
    with contextlib.chdir(cwd):
        done = CliRunner().invoke(main, [*verbs, *words[1:]], input=stdin, catch_exceptions=False)
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


WITHOUT_RAY = ("--set", "cluster.num_workers=0")


def train(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return here("tablert_dist.train", *words, *WITHOUT_RAY, cwd=cwd)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = tiny_records(12)
    return write_corpus(
        tmp_path_factory.mktemp("corpus") / "tiny", {"train": records, "dev": records[:4], "test": records[4:8]}
    )


@pytest.fixture(scope="module")
def options(corpus: Path, tiny_encoder: str) -> list[str]:
    settings = {
        "model.encoder": tiny_encoder,
        "model.cnn.hidden": "[16]",
        "train.epochs": "3",
        "optim.encoder_lr": "1e-3",
        "tracking.enabled": "false",
    }
    return ["--data", str(corpus), *(w for k, v in settings.items() for w in ("--set", f"{k}={v}"))]


@pytest.fixture(scope="module")
def trained(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `train --name a` was run with two seeds."""
    cwd = tmp_path_factory.mktemp("trained")
    done = run("tablert_dist.train", *options, *WITHOUT_RAY, "--name", "a", "--set", "train.seeds=[1,2]", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert "seeds 1, 2" in done.stdout and "±" in done.stdout
    following = shlex.split(done.stdout.splitlines()[-1].removeprefix("next: "))
    assert following[1:3] == ["--onnx", "--model"] or following[3:5] == ["--onnx", "--model"]
    assert (cwd / following[following.index("--model") + 1]).is_dir(), "a path from this folder"
    return cwd


def test_a_run_leaves_its_best_and_newest_checkpoints_only(trained: Path) -> None:
    for seed in (1, 2):
        folder = trained / "runs" / "a" / f"seed-{seed}"
        result = json.loads((folder / "result.json").read_text())
        kept = {p.name for p in folder.glob("epoch_*")}
        assert kept == {"epoch_003", Path(result["checkpoint"]).name}
        assert not list(folder.glob("epoch_*/trainer.pt")), "a finished run keeps no optimiser state"
        assert set(result["scores"]) == {"dev", "test"}
        assert result["scores"]["test"]["protocol"]["scored_on"] == "test"
        best = max(
            range(3), key=lambda e: (result["history"][e]["dev/re_plus_f1"], result["history"][e]["dev/ner_f1"], -e)
        )
        assert result["epoch"] == best + 1


def test_names_are_not_reused_and_resume_wants_the_same_configuration(trained: Path, options: list[str]) -> None:
    again = train(trained, *options, "--name", "a")
    said = told(again.stderr)
    assert (again.returncode, len(said)) == (2, 1), again.stderr
    assert "--resume a" in again.stderr
    other = train(trained, *options, "--resume", "a", "--set", "train.seeds=[1,2]", "--set", "optim.lr=0.1")
    assert other.returncode == 2 and "optim.lr was 0.001, now 0.1" in other.stderr
    for verb in ("train", "tune"):
        missing = here(f"tablert_dist.{verb}", *options, "--resume", "b", "--data", "nowhere", cwd=trained)
        assert missing.returncode == 2 and "there is no such run" in missing.stderr, "before the data are looked at"
        assert "there are: a" in missing.stderr and missing.stdout == ""
    same = train(trained, *options, "--resume", "a", "--set", "train.seeds=[1,2]")
    assert same.returncode == 0, "a finished run is read, not run again"


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    """The folder of `trained`, with the fp32 bundle of its run in `bundle`."""
    done = run("export.cli", "--onnx", "--model", "a", "--out", "bundle", cwd=trained)
    assert done.returncode == 0, done.stderr
    assert "sentences identical" in done.stdout
    return trained


def test_export_evaluate_predict(exported: Path, trained: Path, corpus: Path) -> None:
    scored = {}
    result = json.loads((trained / "runs" / "a" / "run.json").read_text())["results"]
    best = max(result, key=lambda r: r["scores"]["dev"]["scores"]["re_plus"]["micro"]["f1"])
    for model in ("bundle", best["checkpoint"]):
        done = here(
            "tablert_dist.cli",
            "evaluate",
            "--model",
            model,
            "--data",
            str(corpus / "tiny_test.json"),
            "--out",
            "s.json",
            "--force",
            cwd=trained,
        )
        assert done.returncode == 0, done.stderr
        scored[model] = json.loads((trained / "s.json").read_text())
    broken = [scored[model].pop("constraints") for model in ("bundle", best["checkpoint"])]
    assert broken[0] == broken[1] and not broken[0]["on"] and "learned from" in broken[0]["note"]
    of_bundle, of_checkpoint = (scored[model].pop("calibration") for model in ("bundle", best["checkpoint"]))
    assert scored["bundle"] == scored[best["checkpoint"]] == best["scores"]["test"]["scores"]
    assert of_bundle["after"] == pytest.approx(of_checkpoint["after"], abs=1e-5)
    assert {**of_bundle, "after": None} == {**of_checkpoint, "after": None}
    lines = 'Ada works at Acme .\n\n{"text": "Bo near Oslo"}\n{"words": ["Ada", "works", "at", "Acme"]}\n'
    found = run("tablert_dist.cli", "predict", "--model", "bundle", cwd=trained, stdin=lines)
    assert found.returncode == 0, found.stderr
    answers = [json.loads(line) for line in found.stdout.splitlines()]
    assert [a["text"] for a in answers] == ["Ada works at Acme .", "", "Bo near Oslo", "Ada works at Acme"]
    for answer in answers:
        assert all(answer["text"][e["start"] : e["end"]] == e["text"] for e in answer["entities"])
    for bad, reason in (
        ('{"text": 3}', "line 2: expected"),
        ("{", "line 2: not JSON"),
        ("at " * 70, "line 2: .*over the"),
    ):
        words = ["tablert_dist.cli", "predict", "--bundle", "bundle", "--set", "predict.on_overflow=error"]
        lenient = here(*words, cwd=trained, stdin=f"Ada\n{bad}\nBo\n")
        answers = [json.loads(line) for line in lenient.stdout.splitlines()]
        assert lenient.returncode == 0 and [a.get("text") for a in answers] == ["Ada", None, "Bo"]
        assert answers[1]["line"] == 2 and answers[1]["error"] in lenient.stderr
        refused = here(*words, "--strict", "--out", "o.jsonl", cwd=trained, stdin=f"Ada\n{bad}\nBo\n")
        assert refused.returncode == 2 and re.search(reason, refused.stderr), refused.stderr
        assert not (trained / "o.jsonl").exists() and not list(trained.glob(".o.jsonl*")), "nothing is left"


def test_an_interrupted_prediction_goes_on(exported: Path, trained: Path) -> None:
    (trained / "in.txt").write_text("".join(f"Ada works at Acme {i} .\n" for i in range(6000)))
    words = ["tablert_dist.cli", "predict", "--model", "bundle", "--in", "in.txt", "--out", "out.jsonl"]
    assert here(*words, cwd=trained).returncode == 0
    whole = (trained / "out.jsonl").read_text()
    assert whole.count("\n") == 6000
    (trained / "out.jsonl").unlink()
    child = subprocess.Popen([sys.executable, "-m", *words], cwd=trained, stderr=subprocess.DEVNULL)
    part = trained / ".out.jsonl.part"
    while not (part.exists() and part.stat().st_size):
        assert child.poll() is None
        time.sleep(0.002)
    child.kill()
    child.wait()
    with part.open("a") as file:
        file.write('{"text": "half a li')
    asked = here(*words, cwd=trained)
    assert asked.returncode == 2 and "--resume" in asked.stderr
    other = here(*words, "--resume", "--set", "predict.min_entity=0.5", cwd=trained)
    assert other.returncode == 2 and "another predict" in other.stderr
    done = here(*words, "--resume", cwd=trained)
    assert done.returncode == 0, done.stderr
    assert (trained / "out.jsonl").read_text().count("\n") == 6000
    texts = [
        [json.loads(line)["text"] for line in t.splitlines()] for t in (whole, (trained / "out.jsonl").read_text())
    ]
    assert texts[0] == texts[1] and not part.exists()


@pytest.mark.long
def test_export_in_fewer_bits(exported: Path, trained: Path, corpus: Path) -> None:
    words = ["export.cli", "--onnx", "--run", "a", "--precision"]
    missing = run(*words, "int8", "--out", "b8", cwd=trained)
    assert missing.returncode == 2 and "--verify-data" in missing.stderr and not (trained / "b8").exists()
    gold = ["--verify-data", str(corpus / "tiny_test.json")]
    for precision in ("fp16", "int8"):
        # After three epochs it finds no relation, so that the gates have none to compare.
        allowed = ["--allow", "a model of a dozen sentences"]
        done = run(*words, precision, "--out", f"b-{precision}", *gold, *allowed, "--zip", cwd=trained)
        assert done.returncode == 0, done.stderr
        report = json.loads((trained / f"b-{precision}" / "report.json").read_text())
        assert report["precision"] == precision and set(report["f1"]) == {"torch", "onnx"}
        assert report["verified_on"] == "tiny_test.json" and report["sentences"] > 0
        answers = [
            run("tablert_dist.cli", "predict", "--model", name, cwd=trained, stdin="Ada works at Acme .\n")
            for name in (f"b-{precision}", f"b-{precision}.zip")
        ]
        assert answers[0].stdout == answers[1].stdout and '"text": "Ada works at Acme ."' in answers[0].stdout
    sizes = [(trained / name / "table.onnx").stat().st_size for name in ("bundle", "b-fp16")]
    assert sizes[1] < 0.75 * sizes[0]
    assert str(trained).encode() not in (trained / "bundle" / "table.onnx").read_bytes(), "no path leaves the machine"
    assert b"tablert_dist/model" not in (trained / "bundle" / "table.onnx").read_bytes()


def test_init_from_goes_on_from_the_weights(trained: Path, options: list[str], corpus: Path, tmp_path: Path) -> None:
    start = str(trained / "runs" / "a" / "seed-1" / "epoch_003")
    done = train(trained, *options, "--name", "more", "--init-from", start)
    assert done.returncode == 0, done.stderr
    named = train(trained, *options, "--name", "by-name", "--init-from", "a", "--set", "train.epochs=1")
    assert named.returncode == 0, named.stderr
    old, new = (
        [
            row["train/loss"]
            for row in json.loads((trained / "runs" / n / "seed-1" / "result.json").read_text())["history"]
        ]
        for n in ("a", "more")
    )
    assert new[0] < (old[0] + old[-1]) / 2, "it starts where the other ended"
    records = [{**r, "entities": [{**e, "type": f"X{e['type']}"} for e in r["entities"]]} for r in tiny_records(4)]
    other = write_corpus(tmp_path / "other", {"train": records})
    refused = train(trained, *options, "--data", str(other), "--name", "c", "--init-from", start)
    assert refused.returncode == 2 and "that checkpoint has the types" in refused.stderr
    assert not (trained / "runs" / "c").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--data", "nowhere"], "data folder 'nowhere' does not exist"),
        (["--set", "model.cnn.kernel_size=4"], "must be odd"),
        (["--set", "model.kernel=3"], "did you mean 'model.cnn.kernel_size'"),
        (["--config", "conl04"], "did you mean 'conll04'"),
        (["--set", "model.encoder=no/such-encoder"], "encoder 'no/such-encoder' cannot be loaded"),
        (["--set", "model.encoder=package:no_such/model"], "no installed package 'no_such'"),
        (["--set", "model.layer=3"], "has 2 layers"),
        (["--set", "train.device=cuda"], "finds no usable CUDA device"),
        (["--init-from", "nowhere"], "there is no model 'nowhere'"),
        (["--init-from", str(GOLDEN / "bundle" / "cnn-fp32")], "is an exported bundle: training starts from"),
        (["--data", str(GOLDEN / "corpus" / "tiny_dev.json")], "tiny_dev.json --out DIR"),
        (["--name", "a/b"], "run name 'a/b'"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(
    words: list[str], reason: str, options: list[str], tmp_path: Path
) -> None:
    if "cuda" in reason.lower():
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU here")
    done = train(tmp_path, *options, *words)
    assert done.returncode == 2, done.stderr
    # On a slow machine a wait is told first.
    said = told(done.stderr)
    assert len(said) == 1 and reason in said[0] and said[0].startswith("error: "), done.stderr
    assert list(tmp_path.iterdir()) == [], "nothing is written"


def test_long_training_sentences_are_refused_or_dropped_and_counted(
    options: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    records = [*tiny_records(6), {"tokens": ["at"] * 70, "entities": [], "relations": []}]
    folder = write_corpus(tmp_path / "long", {"train": records})
    refused = train(tmp_path, *options, "--data", str(folder))
    assert refused.returncode == 2 and "sentence 6 (one of 1) is over the encoder's limit of 64" in refused.stderr
    dropped = train(
        tmp_path, *options, "--data", str(folder), "--set", "data.on_overflow=drop", "--set", "train.epochs=1"
    )
    assert dropped.returncode == 0 and "1 training sentence over 64 subwords is left out" in caplog.text


def test_help_lists_the_verbs(tmp_path: Path) -> None:
    done = run("tablert_dist.cli", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert {"train", "tune", "evaluate", "predict", "sync"} <= set(done.stdout.split())


def test_profile_names_the_stages(options: list[str], tmp_path: Path) -> None:
    done = here("tablert_dist.cli", "profile", *options, "--steps", "2", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["stages_ms"].keys() >= {"encode", "encoder forward", "head forward", "head backward", "optimiser"}
    assert found["training_sentences_per_s"] > 0 and not list(tmp_path.iterdir()), "nothing is written"


@pytest.mark.parametrize(("words", "told"), [(["pedict"], "did you mean 'predict'"), (["data", "convrt"], "'convert'")])
def test_a_mistyped_verb_is_refused_with_the_nearest(words: list[str], told: str) -> None:
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and told in done.output
