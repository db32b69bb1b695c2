"""Every door at which a model comes in: what was altered is refused in a sentence, and nothing of a model runs as code."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from export.cli import main as tablert_export
from export.graph import export_bundle
from export.publish import score_checkpoint
from tablert_dist import load
from tablert_dist.cli import main as tablert
from tablert_dist.config import ExportConfig, load_config
from tablert_dist.data import load_corpus
from tablert_dist.errors import InputError
from tablert_dist.inference.archive import pack
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model.checkpoint import read_card
from tablert_dist.storage.checkpoint_folder import META
from tablert_dist.tracking import begin_run, default_uri, register
from tests.support import GOLDEN
from tests.support.altered import copied, edit, flip, sealed_again, with_code
from tests.support.serving import assert_same, make_bundle, running
from tests.support.tiny import tiny_records, write_corpus

TINY = ("--set", "model.cnn.hidden=[16,8]", "--set", "cluster.num_workers=0", "--set", "tracking.enabled=false")
SAID = "y\n" * 5
"""On standard input: what a model's author would like to be an answer."""


@dataclass(frozen=True)
class Place:
    """Where a model lies under test, and what a command needs beside it."""

    folder: Path
    corpus: Path
    encoder: str
    registered: str | None = None

    def call(self, command: object, *words: object) -> str:
        """The refusal of a command; it is one line, and its exit code is 2."""
        done = CliRunner().invoke(command, [str(word) for word in words], input=SAID)  # type: ignore[arg-type]
        assert done.exit_code == 2, f"{done.output}\n{done.exception!r}"
        refusal = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(refusal) == 1 and "Traceback" not in done.output, done.output
        return refusal[0]


def predict(at: Place, model: object) -> str:
    return at.call(tablert, "predict", "--model", model)


def evaluate(at: Place, model: object) -> str:
    return at.call(tablert, "evaluate", "--model", model, "--data", at.corpus / "tiny_dev.json")


def export(at: Place, model: object) -> str:
    refusal = at.call(tablert_export, "--onnx", "--model", model, "--out", at.folder / "out")
    assert not (at.folder / "out").exists()
    return refusal


def init_from(at: Place, model: object) -> str:
    words = ("--data", at.corpus, "--set", f"model.encoder={at.encoder}", *TINY)
    storage = ("--set", f"train.storage={at.folder / 'runs'}")
    refusal = at.call(tablert, "train", *words, *storage, "--name", "more", "--init-from", model)
    assert not (at.folder / "runs" / "more").exists()
    return refusal


def in_python(at: Place, model: object) -> str:
    with pytest.raises(InputError) as refusal:
        load(str(model))
    return str(refusal.value)


def serve(at: Place, model: object) -> str:
    return at.call(tablert, "serve", "--model", model, "--set", "serve.port=0")


DOORS: dict[str, Callable[[Place, object], str]] = {
    "predict": predict,
    "evaluate": evaluate,
    "export": export,
    "init-from": init_from,
    "load": in_python,
}
ALTERED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a weight byte": (lambda c: flip(c / "model.safetensors"), "model.safetensors was altered"),
    "the types' order": (
        lambda c: edit(c / META, lambda t: t["schema"]["entity_types"].reverse()),
        "checkpoint.json was altered",
    ),
    "another tokenizer": (
        lambda c: (c / "tokenizer.json").write_text((c / "tokenizer.json").read_text().replace("##a", "##b", 1)),
        "tokenizer.json was altered",
    ),
    "a file less": (lambda c: (c / "encoder" / "config.json").unlink(), "encoder/config.json is missing"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: str) -> Path:
    """A folder with a sealed `checkpoint`, its `bundle`, and a corpus."""
    folder = tmp_path_factory.mktemp("made")
    make_bundle(tiny_encoder, folder)
    records = tiny_records(6)
    write_corpus(folder / "corpus", {"train": records, "dev": records})
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, tiny_encoder: str) -> Place:
    copied(made / "checkpoint", tmp_path / "checkpoint")
    copied(made / "bundle", tmp_path / "bundle")
    return Place(tmp_path, made / "corpus", tiny_encoder)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", ALTERED)
def test_an_altered_checkpoint_is_refused_at_every_door(place: Place, door: str, what: str) -> None:
    alter, told = ALTERED[what]
    alter(place.folder / "checkpoint")
    assert told in DOORS[door](place, place.folder / "checkpoint")


@pytest.mark.parametrize("door", [predict, evaluate, in_python, serve])
@pytest.mark.parametrize("file", ["table.onnx", "schema.json", "tokenizer.json", "manifest.json"])
def test_an_altered_bundle_is_refused_at_every_door(
    place: Place, door: Callable[[Place, object], str], file: str
) -> None:
    bundle = place.folder / "bundle"
    if file == "manifest.json":
        edit(bundle / file, lambda tree: tree.update(pad_id=5))
    else:
        flip(bundle / file)
    assert f"{file} was altered" in door(place, bundle)


def test_a_registered_model_is_checked_at_every_door(place: Place, made: Path) -> None:
    """Altered where MLflow keeps its artifacts, as someone does who can write there."""
    storage = place.folder / "runs"
    uri = default_uri(storage)
    shutil.copytree(made / "bundle", place.folder / "model" / "artifacts" / "bundle")
    with begin_run(place.folder / "run", uri=uri, experiment="doors", name="r") as tracker:
        tracker.artifact(place.folder / "model" / "artifacts", "model/artifacts")
        tracker.artifact(made / "checkpoint", "model/checkpoint")
    assert tracker.uid is not None
    register(uri, "doors", tracker.uid, "model", "champion")
    (kept,) = storage.glob("mlartifacts/*/artifacts/model")
    flip(kept / "artifacts" / "bundle" / "table.onnx")
    flip(kept / "checkpoint" / "model.safetensors")
    model, where = "models:/doors@champion", ("--set", f"train.storage={storage}")
    data = ("--data", place.corpus / "tiny_dev.json")
    assert "table.onnx was altered" in place.call(tablert, "predict", "--model", model, *where)
    assert "table.onnx was altered" in place.call(tablert, "evaluate", "--model", model, *data, *where)
    assert "table.onnx was altered" in place.call(tablert, "serve", "--model", model, "--set", "serve.port=0", *where)
    told = place.call(tablert_export, "--onnx", "--model", model, "--out", place.folder / "out", *where)
    assert "model.safetensors was altered" in told
    assert "model.safetensors was altered" in init_from(place, model)
    with pytest.raises(InputError, match=r"table\.onnx was altered"):
        load(model, **{"train.storage": str(storage)})


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", ["unheard-of", "bert"])
@pytest.mark.parametrize("forged", [False, True])
def test_a_checkpoints_own_code_never_runs(place: Place, door: str, kind: str, forged: bool) -> None:
    checkpoint, mark = place.folder / "checkpoint", place.folder / "ran"
    with_code(checkpoint / "encoder", mark, kind)
    if forged:
        sealed_again(checkpoint)
    told = DOORS[door](place, checkpoint)
    assert ("wants to run code of its own" if forged else "encoder/config.json was altered") in told
    assert not mark.exists()


def test_an_encoder_with_code_is_trained_on_request_alone(place: Place) -> None:
    """The whole way: refused, allowed and on record, refused again at the doors of what was trained, resumed."""
    encoder, mark = copied(Path(place.encoder), place.folder / "encoder"), place.folder / "ran"
    with_code(encoder, mark)
    words = [
        "--data",
        place.corpus,
        "--set",
        f"model.encoder={encoder}",
        "--set",
        f"train.storage={place.folder / 'runs'}",
    ]
    words += [*TINY, "--set", "train.epochs=1"]
    assert "wants to run code of its author's" in place.call(tablert, "train", *words, "--name", "no")
    assert not mark.exists() and not (place.folder / "runs").exists()
    # As transformers writes it for a custom model: a type that it knows by then, from the author's module.
    with_code(encoder, mark, "bert")
    (encoder / "own.py").write_text(
        (encoder / "own.py").read_text()
        + "class Config(Config):\n    pass\nclass Model(Model):\n    config_class = Config\n"
    )
    done = CliRunner().invoke(tablert, [str(w) for w in ("train", *words, "--name", "yes", "--trust-remote-code")])
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    assert mark.exists()
    assert '"trust_remote_code": true' in (place.folder / "runs" / "yes" / "run.json").read_text()
    mark.unlink()
    (checkpoint,) = (place.folder / "runs" / "yes" / "seed-1").glob("epoch_*")
    assert "auto_map" in predict(place, checkpoint) and not mark.exists()
    # What `tablert tune` does at its end, in the process that was allowed to; the bundle needs no code.
    config = load_config(None, {"data.path": str(place.corpus), "model.encoder": str(encoder)})
    scores = score_checkpoint(checkpoint, load_corpus(config.data, config.model), str(encoder))
    assert set(scores) == {"dev"}
    bundle = place.folder / "exported"
    export_bundle(checkpoint, bundle, ExportConfig(), [["Ada", "near", "Oslo"]], code_from=str(encoder))
    shutil.rmtree(encoder)
    assert Predictor.load(bundle).predict("Ada near Oslo").text == "Ada near Oslo"


def test_an_encoder_that_transformers_has_built_in_needs_no_code(place: Place) -> None:
    """It says that it has code; transformers' own is taken, and the checkpoint names none."""
    from tablert_dist.config import public_config
    from tablert_dist.model import build_model
    from tablert_dist.model.checkpoint import ModelCard, load_checkpoint, save_checkpoint
    from tablert_dist.model.encoder import load_encoder
    from tablert_dist.tags import TagSet
    from tests.support.tiny import SCHEMA

    encoder, mark = copied(Path(place.encoder), place.folder / "encoder"), place.folder / "ran"
    with_code(encoder, mark, "bert")
    config = load_config(None, {"model.encoder": str(encoder), "model.cnn.hidden": [8]})
    parts = load_encoder(str(encoder))
    card = ModelCard(public_config(config), SCHEMA, parts.tokenizer, parts.pad_id, {})
    save_checkpoint(place.folder / "saved", build_model(config.model, parts, TagSet(SCHEMA)), card)
    load_checkpoint(place.folder / "saved")
    assert not mark.exists() and "auto_map" not in (place.folder / "saved" / "encoder" / "config.json").read_text()


def test_a_checkpoint_of_an_earlier_version_is_read_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = copied(GOLDEN / "checkpoint" / "cnn", tmp_path / "old")
    with caplog.at_level(logging.WARNING):
        Predictor.load(old)
        read_card(old)
    assert caplog.text.count("has no seal (an earlier version wrote it)") == 1
    flip(old / "model.safetensors")
    with pytest.raises(InputError, match=r"model\.safetensors was altered"):
        Predictor.load(old)
    older = copied(GOLDEN / "checkpoint" / "cnn", tmp_path / "older")
    edit(older / META, lambda tree: tree.pop("files"))
    with caplog.at_level(logging.WARNING):
        Predictor.load(older)
    assert "keeps no hashes (an early version wrote it): its files could not be checked" in caplog.text


def test_what_triton_cannot_take_is_said_before_the_export(place: Place) -> None:
    (place.folder / "triton" / "tablert").mkdir(parents=True)
    (place.folder / "file").write_text("")
    words = ("--onnx", "--out", place.folder / "out", "--model")
    checkpoint, spert = place.folder / "checkpoint", GOLDEN / "checkpoint" / "spert"
    told = place.call(tablert_export, *words, checkpoint, "--triton", place.folder / "triton")
    assert "triton/tablert exists; give another --triton folder" in told
    assert "is a file; give a folder" in place.call(
        tablert_export, *words, checkpoint, "--triton", place.folder / "file"
    )
    told = place.call(tablert_export, *words, spert, "--triton", place.folder / "new")
    assert "a spert model has the graphs words, spans, relations" in told
    assert not (place.folder / "out").exists() and not (place.folder / "new").exists()


def test_a_zipped_bundle_is_served_as_it_is_predicted_with(place: Place) -> None:
    packed = pack(place.folder / "bundle", place.folder / "bundle.zip")
    expected = Predictor.load(packed).predict("Ada near Oslo").to_json()
    with running(packed) as server:
        assert_same(server.post({"text": "Ada near Oslo"}).json()["results"], [expected])
    (place.folder / "no.zip").write_bytes(packed.read_bytes()[:-50])
    assert "not a zip file" in serve(place, place.folder / "no.zip")
