"""The preset `fast` beside spaCy's `ner`, which finds no relations: sentences a CPU second, and scores, on one core."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import click

from bench.options import UnavailableError, data_option, smoke_option
from bench.sources import SAMPLE
from bench.timing import report
from tablert_dist.config import DataConfig, PredictConfig
from tablert_dist.data import Corpus, load_corpus
from tablert_dist.schema import Entity, Sentence
from tablert_dist.scoring import count
from tablert_dist.storage.paths import locate

ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")


class Spacy:
    """spaCy in a process of its own, trained on the corpus (bench/peers_spacy.py)."""

    def __init__(self, python: str, corpus: Corpus, test: list[Sentence], epochs: int) -> None:
        script = str(Path(__file__).with_name("peers_spacy.py"))
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([python, script], env={**os.environ, **ONE_CORE}, **pipes)
        sentences = corpus.splits["train"]
        entities = [[(e.start, e.end, e.type) for e in s.entities] for s in sentences]
        train = {"words": [s.words for s in sentences], "entities": entities}
        self.started = self._ask({"train": train, "test": [s.words for s in test], "epochs": epochs})
        if self.started.get("missing"):
            raise UnavailableError(
                f"{python} has no spaCy: pip install spacy there, or give another with --spacy PYTHON"
            )

    def read(self) -> tuple[float, list[list[Any]]]:
        """CPU seconds and the entities of each test sentence."""
        answer = self._ask({})
        return answer["cpu_s"], answer["entities"]

    def _ask(self, given: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps(given) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has said why
        return cast("dict[str, Any]", json.loads(self.process.stdout.readline()))


def trained(preset: str, data: str, folder: Path, changes: tuple[str, ...]) -> tuple[Path, float]:
    """A bundle of the preset in int8, and the CPU seconds of its training with one thread."""
    settings = ["cluster.num_workers=0", "tracking.enabled=false", f"train.storage={folder}", *changes]
    options = [word for setting in settings for word in ("--set", setting)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run("tablert_dist.cli", "train", "--config", preset, "--data", data, "--name", "fast", *options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    gold = min(locate(data, "corpus").glob("*dev.json"))
    _run("export.cli", "--onnx", "--run", str(folder / "fast"), "--out", str(folder / "bundle"), "--precision", "int8",
         "--verify-data", str(gold), "--allow", "the bench shows F1")  # fmt: skip
    return folder / "bundle", seconds


def _run(module: str, *words: str) -> None:
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, env={**os.environ, **ONE_CORE}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{module} failed: {done.stderr[-2000:]}")


@click.command()
@smoke_option(
    data=SAMPLE, spacy_epochs=1, rounds=1, changes=("train.epochs=1", "model.layer=1", "model.cnn.hidden=[8]")
)
@data_option
@click.option("--spacy", "python", default=sys.executable, help="A Python that has spaCy; unset: this one.")
@click.option("--spacy-epochs", default=20, show_default=True)
@click.option("--preset", default="fast", show_default=True)
@click.option("--set", "changes", multiple=True, help="KEY=VALUE of the training.")
@click.option("--model", type=click.Path(path_type=Path), default=None, help="A bundle to read with; unset: train one.")
@click.option("--rounds", default=5, show_default=True, help="Times that each reads the test sentences, in turns.")
def main(
    data: str, python: str, spacy_epochs: int, preset: str, changes: tuple[str, ...], model: Path | None, rounds: int
) -> None:
    """`ratio` is the preset's sentences a CPU second over spaCy's, both from words, in int8 and on one thread."""
    from tablert_dist.inference.predictor import Predictor

    corpus = load_corpus(DataConfig(path=data))
    test = list(corpus.splits["test"])
    spacy = Spacy(python, corpus, test, spacy_epochs)
    with tempfile.TemporaryDirectory() as folder:
        bundle, seconds = (model, 0.0) if model else trained(preset, data, Path(folder), changes)
        predictor = Predictor.load(bundle, PredictConfig(threads=1))
    words = [s.words for s in test]
    times: dict[str, list[float]] = {"ours": [], "spacy": []}
    predictor.annotate(words)
    for _ in range(rounds):
        started = time.process_time()
        found = predictor.annotate(words)
        times["ours"].append(time.process_time() - started)
        cpu_s, entities = spacy.read()
        times["spacy"].append(cpu_s)
    theirs = [
        Sentence(s.words, tuple(Entity(*entity) for entity in row)) for s, row in zip(test, entities, strict=True)
    ]
    speeds = {name: len(test) / statistics.median(each) for name, each in times.items()}
    scores = {
        name: count(zip(test, sentences, strict=True), corpus.schema).scores()
        for name, sentences in (("ours", found), ("spacy", theirs))
    }
    report(
        "peers",
        {
            "ratio": round(speeds["ours"] / speeds["spacy"], 3),
            "per_cpu_s": {name: round(speed, 1) for name, speed in speeds.items()},
            "ner": {name: round(100 * score.f1("ner"), 1) for name, score in scores.items()},
            "re_plus": round(100 * scores["ours"].f1("re_plus"), 1),
            "train_cpu_s": {"ours": round(seconds, 1), "spacy": round(spacy.started["train_cpu_s"], 1)},
            "spacy": spacy.started["version"],
        },
    )


if __name__ == "__main__":
    main()
