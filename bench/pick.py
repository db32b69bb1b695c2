"""Does picking pay? A model of few sentences picks as many more; scores with those against as many drawn at random."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import click

from bench.options import data_option, smoke_option
from bench.sources import SAMPLE, frozen_training
from bench.timing import report
from tablert_dist.analysis.picking import WAYS, candidate_of, pick
from tablert_dist.config import load_config
from tablert_dist.data import Corpus, load_corpus
from tablert_dist.data.annotated import spert_bytes, types_bytes
from tablert_dist.inference.graph.mentions import document_of
from tablert_dist.inference.predictor import Predictor
from tablert_dist.schema import Sentence
from tablert_dist.storage.atomic import write_bytes
from tablert_dist.train.api import fit


@click.command()
@smoke_option(data=SAMPLE, first=8, seeds="1", epochs=1)
@data_option
@click.option(
    "--first", default=100, show_default=True, help="Sentences of the first model, and sentences that are added."
)
@click.option("--seeds", default="1,2,3", show_default=True)
@click.option("--epochs", default=20, show_default=True)
def main(data: str, first: int, seeds: str, epochs: int) -> None:
    """Frozen layer 4 of the packaged encoder, hidden [128]; test NER and RE+, means over seeds, which also draw the first."""
    started = time.perf_counter()
    settings = frozen_training(epochs)
    corpus = load_corpus(load_config("conll04", {"data.path": data, "data.overlap": "keep-longest"}).data)
    found: dict[str, list[dict[str, float]]] = {}
    for seed in map(int, seeds.split(",")):
        for name, scores in _round(corpus, settings, first, seed).items():
            found.setdefault(name, []).append(scores)
    means = {
        name: {level: round(mean(s[level] for s in scores), 1) for level in ("ner", "re_plus")}
        for name, scores in found.items()
    }
    ratio = max(means["uncertainty"]["re_plus"], 0.1) / max(means["random"]["re_plus"], 0.1)
    each = {name: [round(s["re_plus"], 1) for s in scores] for name, scores in found.items()}
    seconds = round(time.perf_counter() - started)
    report("pick", {"ratio": round(ratio, 3), "scores": means, "re_plus": each, "seconds": seconds})


def _round(corpus: Corpus, settings: dict[str, Any], first: int, seed: int) -> dict[str, dict[str, float]]:
    """Scores of the first model, and by way of the model with what that one picked."""
    train = corpus.splits["train"]
    candidates = [candidate_of(document_of(_plain(s), str(i)), i) for i, s in enumerate(train)]
    start = [p.candidate.line for p in pick(candidates, first, "random", seed=seed).picks]
    scores, model = _trained(corpus, settings, [train[i] for i in start], seed)
    found = {"first": scores}
    predictor = Predictor.load(model)
    read = predictor.predict_words([s.words for s in train])
    known = [" ".join(train[i].words) for i in start]
    doubts = [candidate_of(document_of(one.to_json(), str(i)), i) for i, one in enumerate(read)]
    for way in WAYS:
        more = pick(doubts, first, way, known, seed=seed).picks
        both = [train[i] for i in (*start, *(p.candidate.line for p in more))]
        found[way] = _trained(corpus, settings, both, seed)[0]
    return found


def _plain(sentence: Sentence) -> dict[str, Any]:
    return {"text": " ".join(sentence.words), "entities": [], "relations": []}


def _trained(
    corpus: Corpus, settings: dict[str, Any], sentences: Sequence[Sentence], seed: int
) -> tuple[dict[str, float], Path]:
    """Test scores in per cent after a training on these sentences, and its checkpoint; the epoch is the last."""
    folder = Path(tempfile.mkdtemp(prefix="tablert-pick-"))
    for split, some in {**corpus.splits, "train": tuple(sentences)}.items():
        write_bytes(folder / f"{split}.json", spert_bytes([replace(s, document=None) for s in some]))
    write_bytes(folder / "types.json", types_bytes(corpus.schema))
    options = {**settings, "train.seeds": [seed], "train.select": "last"}
    options["train.storage"] = str(folder / "runs")
    done = fit(folder, "conll04", overrides=options, say=lambda line: None)
    test = done.best["scores"]["test"]["scores"]
    return {level: 100 * test[level]["micro"]["f1"] for level in ("ner", "re_plus")}, Path(done.best["checkpoint"])


if __name__ == "__main__":
    main()
