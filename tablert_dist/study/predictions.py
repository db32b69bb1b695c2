"""What each cell predicts, kept beside its result: for comparisons sentence by sentence after its weights are gone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tablert_dist.config import PredictConfig
from tablert_dist.data import Corpus
from tablert_dist.inference.predictor import Predictor
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.scoring import LEVELS, count
from tablert_dist.storage.atomic import write_json
from tablert_dist.storage.checkpoint_folder import checkpoints
from tablert_dist.tags import Ints

FILE = "predictions.json"


def keep_predictions(folder: Path, result: Mapping[str, Any], corpus: Corpus, keep_weights: bool) -> None:
    """Predict dev and test with the cell's weights, once; then, unless `keep_weights`, remove its checkpoints."""
    if not (folder / FILE).is_file():
        predictor = Predictor.load(Path(result["checkpoint"]), PredictConfig())
        tree = {
            split: [_to_json(s) for s in predictor.annotate([g.words for g in corpus.splits[split]])]
            for split in ("dev", "test")
            if split in corpus.splits
        }
        write_json(folder / FILE, tree)
    if not keep_weights:
        for checkpoint in checkpoints(folder):
            shutil.rmtree(checkpoint)


def read_predictions(folder: Path, split: str, gold: Sequence[Sentence]) -> list[Sentence]:
    """The cell's predictions on a split, with the words of `gold`."""
    tree = json.loads((folder / FILE).read_text(encoding="utf-8"))[split]
    return [_from_json(found, sentence.words) for found, sentence in zip(tree, gold, strict=True)]


def counts_by_sentence(gold: Sequence[Sentence], found: Sequence[Sentence], schema: Any) -> dict[str, Ints]:
    """[S, 3] for each level: hits, wrong ones and missed ones of each sentence."""
    tables = [count([(g, f)], schema) for g, f in zip(gold, found, strict=True)]
    return {level: np.stack([t.of(level).sum(0) for t in tables]) for level in LEVELS}


def _to_json(sentence: Sentence) -> dict[str, Any]:
    index = {entity: i for i, entity in enumerate(sentence.entities)}
    return {
        "entities": [[e.start, e.end, e.type, e.probability] for e in sentence.entities],
        "relations": [[index[r.head], index[r.tail], r.type, r.probability] for r in sentence.relations],
    }


def _from_json(tree: Mapping[str, Any], words: tuple[str, ...]) -> Sentence:
    entities = tuple(Entity(*row) for row in tree["entities"])
    relations = tuple(Relation(entities[h], entities[t], kind, p) for h, t, kind, p in tree["relations"])
    return Sentence(words, entities, relations)
