"""What to fit temperatures by: objectives fitted on dev, calibration errors on dev and test, for a given model.

python -m bench.calibration --data DIR runs/cnn runs/spert
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from bench.folders import tiny_checkpoint
from bench.options import data_option, smoke_option
from bench.sources import SAMPLE
from bench.timing import report
from tablert_dist.analysis.calibration import calibrate
from tablert_dist.analysis.fitting import Evidence, evidence_of, fit_temperatures
from tablert_dist.analysis.judged import judged_relations, reliability
from tablert_dist.analysis.rereading import read_at
from tablert_dist.config import DataConfig
from tablert_dist.data import load_corpus
from tablert_dist.heads.cnn.scheme import TABLE
from tablert_dist.heads.temperatures import NEUTRAL, Temperatures
from tablert_dist.inference.predictor import Predictor
from tablert_dist.schema import Sentence
from tablert_dist.tags import IGNORE, Floats, Ints

OURS = "mean of entities + mean of triples"
"""What a training fits by."""


def by_predictions(evidence: Evidence) -> dict[str, Temperatures]:
    """Temperatures by the log loss of what is predicted."""
    tried = evidence.tried.tolist()
    entity = evidence.entity_loss()
    relation = -np.log(
        np.where(evidence.right_triple[:, None], np.exp(evidence.relation_MT), 1 - np.exp(evidence.relation_MT)).clip(
            1e-7
        )
    ).sum(0)
    triple = np.stack([evidence.triple_loss_of_cells(tags) for tags in range(len(tried))])
    share = len(evidence.right_entity) / max(len(evidence.right_triple), 1)
    best = int(entity.argmin())
    found = {
        "entities, relations alone": (best, int(relation.argmin())),
        "entities, then triples": (best, int(triple[best].argmin())),
        "triples": np.unravel_index(triple.argmin(), triple.shape),
        "sum of entities and triples": np.unravel_index((share * entity[:, None] + triple).argmin(), triple.shape),
    }
    return {name: Temperatures(tags=tried[tags], cells=tried[cells]) for name, (tags, cells) in found.items()}


def by_labels(predictor: Predictor, gold: list[Sentence], tried: Floats) -> dict[str, Temperatures]:
    """Temperatures by the negative log-likelihood of gold tags: of all words, and all cells or those that decoding reads."""
    words, cells, read = ([], []), ([], []), ([], [])
    for sentence, found in zip(gold, predictor.annotate([s.words for s in gold]), strict=True):
        logits = predictor.engine.run(TABLE, predictor.inputs(predictor.tokenizer.encode([sentence.words])))
        targets = predictor.scheme.targets([sentence], predictor.tags, [np.random.default_rng(0)])
        ends = sorted(e.end - 1 for e in found.entities)
        pairs = [(a, b) for i, a in enumerate(ends) for b in ends[i + 1 :]]
        relation, tags = logits["relation_logits"][0], targets["relation_tags"][0]
        known = tags != IGNORE
        for (rows, labels), picked in ((cells, np.argwhere(known)), (read, np.asarray(pairs, int).reshape(-1, 2))):
            rows.append(relation[picked[:, 0], picked[:, 1]])
            labels.append(tags[picked[:, 0], picked[:, 1]])
        words[0].append(logits["entity_logits"][0])
        words[1].append(targets["entity_tags"][0])
    of_tags, of_cells, of_read = (
        _likeliest(np.concatenate(rows), np.concatenate(labels), tried) for rows, labels in (words, cells, read)
    )
    return {
        "tags and all cells": Temperatures(tags=of_tags, cells=of_cells),
        "tags and cells read": Temperatures(tags=of_tags, cells=of_read),
    }


def _likeliest(logits: Floats, labels: Ints, tried: Floats) -> float:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    own = shifted[np.arange(len(labels)), labels]
    losses = [float((np.log(np.exp(shifted / t).sum(-1)) - own / t).mean()) for t in tried]
    return float(tried[int(np.argmin(losses))])


@click.command()
@smoke_option(checkpoint=tiny_checkpoint, data=SAMPLE)
@click.option("--checkpoint", type=click.Path(path_type=Path), required=True, help="A checkpoint trained on the data.")
@data_option
def main(checkpoint: Path, data: str) -> None:
    """Errors in percent: of entities, relations and triples. `ratio` is test's error of triples without over that with ours."""
    predictor, corpus = Predictor.load(checkpoint), load_corpus(DataConfig(path=data))
    dev = list(corpus.splits["dev"])
    evidence = evidence_of(predictor, dev)
    ours = fit_temperatures(predictor, dev, "dev").temperatures
    ways = {"none": NEUTRAL, OURS: ours, **by_predictions(evidence)}
    if TABLE in predictor.scheme.stages:
        ways |= by_labels(predictor, dev, evidence.tried)
    errors: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
    chance = 0.0
    for split in ("dev", "test"):
        gold = corpus.splits[split]
        for way, found in zip(ways, read_at(predictor, [s.words for s in gold], list(ways.values())), strict=True):
            pairs = list(zip(gold, found, strict=True))
            curves = vars(reliability(pairs, corpus.schema)).values()
            errors[way][split] = [round(100 * curve.ece, 1) for curve in curves]
            if way == OURS:
                chance = _floor([one.probability for one in judged_relations(pairs, corpus.schema, triples=True)])
    for way, t in ways.items():
        print(f"{way:36}{t}  dev {errors[way]['dev']}  test {errors[way]['test']}", flush=True)
    ratio = max(errors["none"]["test"][2], 0.1) / max(errors[OURS]["test"][2], 0.1)
    report("calibration", {"ratio": round(ratio, 2), "chance": round(100 * chance, 1), "errors": errors})


def _floor(probabilities: list[float]) -> float:
    """The calibration error that chance leaves: the mean of 200 draws of what is right, from the probabilities."""
    if not probabilities:
        return 0.0
    rng, p = np.random.default_rng(0), np.asarray(probabilities)
    return float(np.mean([calibrate(probabilities, (rng.random(len(p)) < p).tolist()).ece for _ in range(200)]))


if __name__ == "__main__":
    main()
