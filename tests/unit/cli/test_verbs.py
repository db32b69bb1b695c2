"""Models and data by every name that they have, in the verbs that read them; on models that are kept with the tests."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from export.cli import main as tablert_export
from tablert_dist.cli import main
from tests.support import GOLDEN
from tests.support.annotated import FOLDER
from tests.support.lines import told

BUNDLE, CHECKPOINT, CORPUS = GOLDEN / "bundle" / "cnn-fp32", GOLDEN / "checkpoint" / "cnn", GOLDEN / "corpus"


def run(*words: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], input=stdin)


def table(done: Result) -> list[str]:
    """The scores that `evaluate` prints."""
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()[1:]


def test_a_folder_is_scored_by_its_test_split_and_says_so(tmp_path: Path) -> None:
    whole = run("evaluate", "--model", BUNDLE, "--data", CORPUS)
    assert "tiny_test.json (the test split): " in whole.stdout
    assert table(whole) == table(run("evaluate", "--model", BUNDLE, "--data", CORPUS / "tiny_test.json"))
    dev = run("evaluate", "--model", BUNDLE, "--data", CORPUS, "--split", "dev")
    assert table(dev) == table(run("evaluate", "--model", BUNDLE, "--data", CORPUS / "tiny_dev.json"))
    shutil.copy(CORPUS / "tiny_types.json", tmp_path / "types.json")
    converted = run("data", "convert", CORPUS / "tiny_test.json", tmp_path / "test.conll")
    assert converted.exit_code == 0, converted.output
    assert "NER micro" in run("evaluate", "--model", BUNDLE, "--data", tmp_path).stdout, "any format"


@pytest.mark.parametrize("form", ["words", "text", "spert"])
def test_kept_predictions_score_as_their_model_does(form: str, tmp_path: Path) -> None:
    gold = json.loads((CORPUS / "tiny_test.json").read_text(encoding="utf-8"))
    lines = [json.dumps({"words": s["tokens"]}) if form != "text" else " ".join(s["tokens"]) for s in gold]
    kept = tmp_path / "kept.jsonl"
    # A text that was split into sentences may be read otherwise than the sentence: here it is not split.
    predicted = run(
        "predict", "--model", BUNDLE, "--out", kept, "--set", "predict.split_sentences=false", stdin="\n".join(lines)
    )
    assert predicted.exit_code == 0, predicted.output
    if form == "spert":
        kept = tmp_path / "kept.json"
        assert run("data", "convert", tmp_path / "kept.jsonl", kept, "--to", "spert").exit_code == 0
    page, scores = tmp_path / "errors.html", tmp_path / "scores.json"
    done = run("evaluate", "--predictions", kept, "--data", CORPUS, "--report", page, "--out", scores)
    assert table(done)[:-1] == table(run("evaluate", "--model", BUNDLE, "--data", CORPUS))
    assert page.is_file() and "macro" in json.loads(scores.read_text(encoding="utf-8"))["ner"]
    assert " scored, micro F1: NER " in done.stderr
    kept.write_text(kept.read_text(encoding="utf-8").replace("Ada", "Eve"), encoding="utf-8")
    other = run("evaluate", "--predictions", kept, "--data", CORPUS)
    assert other.exit_code == 2 and "is of another text" in other.stderr and len(told(other.stderr)) == 1


def test_predict_ends_with_what_it_found() -> None:
    done = run("predict", "--model", BUNDLE, stdin="Ada works at Acme .\n")
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    entities, triples = len(found["entities"]), len(found["relations"])
    words = ("entity" if entities == 1 else "entities", "triple" if triples == 1 else "triples")
    assert done.stderr.startswith(f"1 line, {entities} {words[0]}, {triples} {words[1]} in ")


def test_render_and_serve_take_what_the_others_take(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = run("render", "--model", CHECKPOINT, "--data", CORPUS, "--split", "dev", "--out", page)
    assert done.exit_code == 0 and "tiny_dev.json (the dev split)" in page.read_text(encoding="utf-8")
    served = run("serve", "--model", CHECKPOINT)
    assert served.exit_code == 2 and f"tablert-export --onnx --model {CHECKPOINT} --out bundle" in served.stderr


def test_an_export_is_verified_on_a_folders_dev_split(tmp_path: Path) -> None:
    words = ["--onnx", "--model", str(CHECKPOINT), "--out", str(tmp_path / "b"), "--verify-data", str(CORPUS)]
    done = CliRunner().invoke(tablert_export, words)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "b" / "report.json").read_text(encoding="utf-8"))
    assert report["verified_on"] == "tiny_dev.json (the dev split)"
    again = CliRunner().invoke(tablert_export, ["--onnx", "--model", str(BUNDLE), "--out", str(tmp_path / "c")])
    assert again.exit_code == 2 and "it is exported already" in again.stderr and not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["data", "convert", "missing.json", "out.xyz"], "missing.json does not exist"),
        (["data", "check", "missing.json", "--html", "no/such/page.html"], "missing.json' does not exist"),
        (["data", "split", "missing.json", "--out", "x", "--folds", "two"], "missing.json: no such file"),
        (["data", "sample", "missing.json", "--out", "no/such/x.json", "--n", "3"], "missing.json: no such file"),
        (["predict", "--model", BUNDLE, "--in", "missing.txt", "--out", "o.jsonl"], "--in missing.txt does not exist"),
        (["evaluate", "--model", BUNDLE, "--data", "missing.json"], "--data 'missing.json' does not exist"),
        (["evaluate", "--model", BUNDLE, "--data", CORPUS, "--out", "no/s.json"], "there is no folder 'no'"),
        (["evaluate", "--data", CORPUS], "either --model MODEL or --predictions FILE"),
        (["evaluate", "--predictions", "missing.jsonl", "--data", CORPUS], "missing.jsonl does not exist"),
        (["train", "--data", FOLDER / "people.jsonl"], "people.jsonl --out DIR"),
        (["study", "layers", "--resume", "nope", "--data", "nowhere"], "there is no such run"),
        (["config", "hiden"], "did you mean 'model.cnn.hidden'"),
        (["presets", "conl04"], "did you mean 'conll04'"),
    ],
    ids=lambda value: " ".join(map(str, value[:2])) if isinstance(value, list) else "",
)
def test_what_is_missing_is_what_is_blamed(
    words: list[object], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert done.exit_code == 2 and reason in done.stderr, done.output
    assert told(done.stderr)[0].startswith("error: ") and len(told(done.stderr)) == 1 and not list(tmp_path.iterdir())


def test_one_is_not_several(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(
        '[{"tokens": ["Ada"], "entities": [{"start": 0, "end": 1, "type": "Per"}], "relations": []}]'
    )
    done = run("data", "convert", tmp_path / "one.json", tmp_path / "one.jsonl")
    assert "1 sentence, 1 entity, 0 relations" in done.stdout and done.stderr.startswith("1 sentence converted in ")
