"""How the head starts: dev scores after the first of five epochs, for three initialisations of its outputs."""

from __future__ import annotations

import click
import torch
from torch import nn

from bench.options import TINY, data_option, encoder_option, smoke_option
from bench.parts import bench_config, model_parts
from bench.timing import report
from tablert_dist.cpu import keep_pages
from tablert_dist.data import load_corpus
from tablert_dist.model import build_model
from tablert_dist.tags import TagSet
from tablert_dist.train.context import Examples
from tablert_dist.train.evaluation import evaluate
from tablert_dist.train.features import SubwordFeatures
from tablert_dist.train.loop import train_epochs

VARIANTS = {
    "entity N(0, 0.02), none 0": (0.02, 0.0),
    "entity U(1/sqrt R), none 0": (None, 0.0),
    "entity U(1/sqrt R), none 6": (None, 6.0),
}


@click.command()
@smoke_option(**TINY, sentences=64)
@click.option("--sentences", default=None, type=int, help="First training sentences to use; unset: all.")
@encoder_option
@data_option
@click.option("--seed", default=1, show_default=True)
def main(sentences: int | None, encoder: str, data: str, seed: int) -> None:
    """Print NER, RE+ and the epoch's mean loss of each; `ratio` is the first variant's loss over the last one's (ours)."""
    keep_pages()
    found = {}
    losses = []
    for name, (deviation, none_bias) in VARIANTS.items():
        config = bench_config(data__path=data, model__none_bias=none_bias, train__epochs=5)
        corpus = load_corpus(config.data)
        tags = TagSet(corpus.schema)
        torch.manual_seed(seed)
        parts = model_parts(encoder)
        model = build_model(config.model, parts, tags)
        if deviation:
            nn.init.normal_(model.head.entity.weight, std=deviation)
        splits = {
            split: Examples(s, SubwordFeatures(parts.tokenizer.encode([x.words for x in s]), parts.pad_id))
            for split, s in (("train", corpus.train[:sentences]), ("dev", corpus.splits["dev"]))
        }
        epoch = next(train_epochs(model, splits["train"], tags, config, seed))
        scores = evaluate(model, splits["dev"], tags, config.train.eval_cells).scores()
        found[name] = {level: round(100 * scores.f1(level), 1) for level in ("ner", "re_plus")}
        losses.append(epoch.loss_per_sentence)
        found[name]["loss"] = round(losses[-1], 2)
        print(name, found[name], flush=True)
    report("initialisation", {"ratio": round(losses[0] / losses[-1], 2), "seed": seed, **found})


if __name__ == "__main__":
    main()
