"""Write the golden files: checkpoints, bundles, an interrupted run and its MLflow store, as this version writes them.

python -m tests.support.golden tests/data/NAME

The folder must be new, since files of an earlier version are what later versions are tested on. Weights and predictions
are the same at each writing on one machine; ids and times differ.
"""

from __future__ import annotations

import hashlib
import json
import logging
import lzma
import multiprocessing
import os
import shutil
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from click.testing import CliRunner

from tests.support import TESTS
from tests.support.tiny import tiny_records, write_corpus, write_tiny_encoder

SCRATCH = Path("/tmp/golden")
"""A run's record, its journal and the MLflow store hold absolute paths: they are written where a path tells nothing."""
CUT_AFTER = 3
"""Epochs of the run's second seed before its process is killed."""
# No dropout: its random numbers differ between CPU architectures, and the run's losses are compared with these.
COMMON: dict[str, Any] = {
    "model.cnn.hidden": [16], "model.dropout": 0.0, "train.batch_size": 4, "train.device": "cpu", "train.precision": "fp32",
    "optim.encoder_lr": 3e-3, "optim.lr": 3e-3, "cluster.num_workers": 0,
}  # fmt: skip
PLUS: dict[str, Any] = {"model.cnn.decoding": "viterbi", "model.cnn.bilinear": 8, "model.cnn.distance": True}
HEADS: dict[str, dict[str, Any]] = {
    "cnn": {"train.epochs": 7},
    "cnn-plus": {**PLUS, "train.epochs": 7},
    "tablert": {"train.epochs": 18, "model.head": "tablert", "model.tablert.label_width": 8, "model.tablert.relation_width": 8},
    "spert": {
        "train.epochs": 18, "model.head": "spert", "model.spert.width_embedding": 8, "model.spert.max_span": 4,
        "model.spert.negatives": 30, "optim.lr": 1e-2,
    },
}  # fmt: skip
RUN: dict[str, Any] = {**PLUS, "train.epochs": 6, "train.seeds": [1, 2], "train.average": 0.5, "train.batch_size": 2}
BUNDLES = (("cnn", "fp32"), ("cnn", "fp16"), ("cnn-plus", "fp32"), ("tablert", "fp32"), ("spert", "fp32"))
TEXTS = (
    "Ada works at Acme near Oslo .",
    "Ada Bo works at Acme near Oslo near Oslo .",
    "Ada works at Acme near Tromsø .",
    "   ",
    "👩‍🚀 Ada\tBo works at Acme. Ada works at Acme  near Oslo!",
    '{"words": ["Ada", "Bo", "works", "at", "Acme", "."]}',
    '{"text": "Ada works at Acme near Oslo ."}',
    " ".join(["Ada works at Acme near Oslo near Oslo ,"] * 9),
)
"""The last one is longer than the encoder's limit."""


def main() -> None:
    """Write the folder named on the command line, then say how large it is."""
    out = Path(sys.argv[1]).resolve()
    if out.exists() or SCRATCH.exists():
        sys.exit(f"{out} and {SCRATCH} must not exist: golden files are never rewritten")
    logging.basicConfig(level=logging.ERROR)
    # One thread, set before torch is imported: with two, sums have another order and weights differ after 6 digits.
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", MLFLOW_DISABLE_TELEMETRY="true")
    write_parts(out)
    base = {**COMMON, "data.path": packaged(out / "corpus"), "model.encoder": packaged(out / "encoder")}
    for head, options in HEADS.items():
        write_checkpoint({**base, **options}, head, out)
    for head, precision in BUNDLES:
        write_bundle(head, precision, out)
    write_run({**base, **RUN}, out)
    shutil.rmtree(SCRATCH)
    sums = {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files(out)}
    (out / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()), encoding="utf-8")
    print(f"{out}: {sum(path.stat().st_size for path in files(out)) / 1e6:.2f} MB")


def files(folder: Path) -> list[Path]:
    """Every file below the folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def packaged(path: Path) -> str:
    """The path as `package:tests/…`, which is the same on every machine."""
    return f"package:tests/{path.relative_to(TESTS).as_posix()}"


def write_parts(out: Path) -> None:
    """Write the encoder, the corpus and the input texts."""
    (out / "encoder").mkdir(parents=True)
    (out / "expected").mkdir()
    write_tiny_encoder(out / "encoder", dropout=0.0, width=16)
    records = tiny_records(24)
    corpus = write_corpus(out / "corpus", {"train": records, "dev": records[:4], "test": records[4:8]})
    types = {
        "entities": {name: {"short": name, "verbose": name} for name in ("Loc", "Org", "Per")},
        "relations": {
            name: {"short": name, "verbose": name, "symmetric": name == "near"} for name in ("near", "works")
        },
    }
    (corpus / "tiny_types.json").write_text(json.dumps(types), encoding="utf-8")
    (out / "texts.txt").write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")


def write_checkpoint(values: dict[str, Any], head: str, out: Path) -> None:
    """Train a head until it knows most of the corpus; keep its checkpoint and what it predicts."""
    from tablert_dist.config import load_config
    from tablert_dist.train.fit import fit

    # Few epochs, and the last of them: after more all probabilities are 1.0, which would not show a change.
    options = {"train.select": "last", "train.storage": str(SCRATCH / "checkpoints"), "tracking.enabled": False}
    best = fit(load_config(None, {**values, **options}), head, validate=False).best
    shutil.copytree(best["checkpoint"], out / "checkpoint" / head)
    lines = predict(out / "checkpoint" / head, out / "texts.txt")
    (out / "expected" / f"{head}.jsonl").write_text(lines, encoding="utf-8")


def write_bundle(head: str, precision: str, out: Path) -> None:
    """Export a checkpoint; keep what the bundle predicts where it is not in fp32, which predicts as the checkpoint."""
    from export.cli import main as export_main

    bundle = out / "bundle" / f"{head}-{precision}"
    bundle.parent.mkdir(exist_ok=True)
    words = ["--onnx", "--checkpoint", str(out / "checkpoint" / head), "--out", str(bundle), "--precision", precision]
    call(export_main, *words, "--verify-data", str(out / "corpus" / "tiny_train.json"))
    if precision != "fp32":
        (out / "expected" / f"{bundle.name}.jsonl").write_text(predict(bundle, out / "texts.txt"), encoding="utf-8")


def write_run(values: dict[str, Any], out: Path) -> None:
    """Train one seed to its end and kill the process in the middle of the second; keep what resuming gives."""
    child = multiprocessing.get_context("spawn").Process(target=train_and_die, args=(values,))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL, child.exitcode
    store = SCRATCH / "mlflow.db"
    with sqlite3.connect(store) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("VACUUM")
    database.close()
    shutil.copytree(SCRATCH / "run", out / "run")
    shutil.copytree(SCRATCH / "mlartifacts", out / "mlartifacts")
    (out / "mlflow.db.xz").write_bytes(lzma.compress(store.read_bytes(), preset=9))
    write_resumed(values, out)


def train_and_die(values: dict[str, Any]) -> None:
    """Train under a parent run in MLflow; when the second seed has CUT_AFTER epochs, kill this process."""
    from tablert_dist.config import load_config
    from tablert_dist.tracking import begin_run, default_uri
    from tablert_dist.train import fit as training

    # MLflow notes the current folder as the place of its default experiment.
    os.chdir(SCRATCH)
    where = {"uri": default_uri(SCRATCH), "experiment": "golden"}
    parent = begin_run(SCRATCH / "parent", **where, name="parent", params={"note": "two seeds"})
    assert parent.close("FINISHED")
    seed = SCRATCH / "run" / "seed-2"

    def stop(printer: Any, row: dict[str, float]) -> None:
        if row["epoch"] == CUT_AFTER and seed.exists():
            # Everything up to here is in MLflow, so that the store does not depend on when the process dies.
            while (
                json.loads((seed / "journal.state.json").read_text())["sent"] < (seed / "journal.jsonl").stat().st_size
            ):
                time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGKILL)

    options = {"train.storage": str(SCRATCH), "tracking.experiment": "golden"}
    with patch.object(training.Printer, "epoch", stop):
        training.fit(load_config(None, {**values, **options}), "run", parent=parent.uid, validate=False)


def write_resumed(values: dict[str, Any], out: Path) -> None:
    """Resume a copy of the interrupted run and keep its losses and scores."""
    from tablert_dist.config import load_config
    from tablert_dist.train.fit import fit

    shutil.copytree(out / "run", SCRATCH / "resumed" / "run")
    options = {"train.storage": str(SCRATCH / "resumed"), "tracking.enabled": False}
    results = fit(load_config(None, {**values, **options}), "run", resume=True, validate=False).results
    text = json.dumps([comparable(result) for result in results], indent=1)
    (out / "expected" / "run.json").write_text(f"{text}\n", encoding="utf-8")
    last = SCRATCH / "resumed" / "run" / "seed-2" / f"epoch_{values['train.epochs']:03d}"
    (out / "expected" / "run.jsonl").write_text(predict(last, out / "texts.txt"), encoding="utf-8")


def comparable(result: Any) -> dict[str, Any]:
    """A seed's result without times and paths."""
    rows = [{k: v for k, v in row.items() if "second" not in k} for row in result["history"]]
    kept = {key: result[key] for key in ("seed", "epoch", "epochs", "scores", "parameters")}
    return {**kept, "checkpoint": Path(result["checkpoint"]).name, "history": rows}


def predict(model: Path, texts: Path) -> str:
    """What `tablert predict` prints."""
    from tablert_dist.cli import main as tablert

    return call(tablert, "predict", "--model", str(model), "--in", str(texts))


def call(command: Any, *words: str) -> str:
    """The standard output of a command, run in this process. Raises AssertionError where it fails."""
    done = CliRunner().invoke(command, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


if __name__ == "__main__":
    main()
