"""What constraints do to RE and RE+: a model with the rules of its training data, against the same model without.

python -m bench.constraints --data conll04 --data ade --data scierc
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.folders import tiny_checkpoint
from bench.options import smoke_option
from bench.sources import SAMPLE, frozen_training
from bench.timing import report
from tablert_dist.analysis.rereading import read_as
from tablert_dist.analysis.significance import compare
from tablert_dist.config import load_config
from tablert_dist.data import Corpus, load_corpus
from tablert_dist.data.constraints import learn
from tablert_dist.heads.rules import Rules
from tablert_dist.inference.predictor import Predictor
from tablert_dist.scoring import count
from tablert_dist.study.predictions import counts_by_sentence

OVERLAP = {"ade": "drop-pair", "scierc": "keep-gold"}
"""Policy by what the folder's name begins with."""
LEVELS = ("re", "re_plus")


def settings(data: str, epochs: int) -> dict[str, Any]:
    """Of a small training: a frozen encoder at layer 4."""
    name = Path(data).resolve().name
    policy = next((policy for prefix, policy in OVERLAP.items() if name.startswith(prefix)), "error")
    return {"data.path": data, "data.overlap": policy, **frozen_training(epochs)}


def trained(data: str, epochs: int) -> Path:
    """The checkpoint of a training, removed when the running command ends."""
    from tablert_dist.train.fit import fit

    folder = click.get_current_context().with_resource(tempfile.TemporaryDirectory())
    config = load_config("conll04-plus", {**settings(data, epochs), "train.storage": folder})
    return Path(fit(config, "constraints").best["checkpoint"])


@click.command()
@smoke_option(checkpoints=lambda: [tiny_checkpoint()], corpora=lambda: [SAMPLE])
@click.option("--data", "corpora", multiple=True, required=True, help="A corpus folder. May be given again.")
@click.option(
    "--checkpoint", "checkpoints", multiple=True, help="A model of each of them, in their order; unset: trained here."
)
@click.option("--epochs", default=6, show_default=True, help="Of a training.")
@click.option("--min-count", default=1, show_default=True, help="Relations that a pair of types needs to be allowed.")
def main(corpora: Sequence[str], checkpoints: Sequence[str], epochs: int, min_count: int) -> None:
    """Rows: F1 in percent without and with the rules, and how many predicted triples break one. `ratio` is the last test's
    RE+ with over that without."""
    found: dict[str, Any] = {}
    ratio = 1.0
    for i, data in enumerate(corpora):
        predictor = Predictor.load(checkpoints[i] if checkpoints else trained(data, epochs))
        config = load_config(None, settings(data, epochs))
        corpus = load_corpus(config.data, predictor.model)
        learned = learn(corpus.train, corpus.schema, f"{corpus.name} train", min_count)
        print("\n".join(learned.lines()), flush=True)
        rules = Rules.of(learned, predictor.tags)
        found[corpus.name] = {
            split: measured(predictor, rules, corpus, split) for split in ("dev", "test") if split in corpus.splits
        }
        last = list(found[corpus.name].values())[-1]["re_plus"]
        ratio = max(last["on"], 0.1) / max(last["off"], 0.1)
    report("constraints", {"ratio": round(ratio, 3), "corpora": found})


def measured(predictor: Predictor, rules: Rules, corpus: Corpus, split: str) -> dict[str, Any]:
    """F1 of a split without and with the rules, and what the predictions break; printed too."""
    gold = corpus.splits[split]
    temperatures = predictor.scheme.temperatures
    ways = [(temperatures, None), (temperatures, rules)]
    off, on = read_as(predictor, [sentence.words for sentence in gold], ways)
    row: dict[str, Any] = {"broken": [rules.broken(found).triples for found in (gold, off, on)]}
    print(
        f"{corpus.name} {split}: {len(gold)} sentences; triples that break a rule: gold {rules.broken(gold)}, ", end=""
    )
    print(f"without the rules {rules.broken(off)}, with them {rules.broken(on)}", flush=True)
    without, kept = (counts_by_sentence(gold, found, corpus.schema) for found in (off, on))
    scores = [count(zip(gold, found, strict=True), corpus.schema).scores() for found in (off, on)]
    for level in LEVELS:
        one = compare([kept[level]], [without[level]])
        f1 = [100 * one_side.f1(level) for one_side in scores]
        row[level] = {"off": round(f1[0], 1), "on": round(f1[1], 1), "p": round(one.p_sentences, 4)}
        print(
            f"  {level:8}{f1[0]:6.1f} → {f1[1]:5.1f}  {one.difference:+.1f} ({one.low:+.1f} … {one.high:+.1f}), "
            f"p {one.p_sentences:.3f}",
            flush=True,
        )
    return row


if __name__ == "__main__":
    main()
