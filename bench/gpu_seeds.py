"""Real trainings on a card, train+dev to test: several seeds side by side in processes of their own, and one variant of
the head after the other."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click
import torch

from tablert_dist.analysis.significance import paired_t
from tablert_dist.config import load_config
from tablert_dist.study.cells import systems, title, use_variants
from tablert_dist.train.evaluation import evaluate
from tablert_dist.train.loop import train_epochs
from tablert_dist.train.worker import choose_context, examples_of, prepare, prepare_device

LEVELS = ("ner", "re", "re_plus")


def compare_variants(
    encoder: str, data: str, preset: str, names: Sequence[str], seeds: Sequence[int], epochs: int
) -> dict[str, Any]:
    """`train_seeds` of each system of `tablert study` by name, every one against the first, seed by seed.

    By name: the mean scores in percent, and after the first `re_plus`, the mean difference of RE+ with `sd` over seeds and
    `p` of the paired t-test, and `speed`, sentences a second as a share of the first's.
    """
    use_variants("plus")
    if unknown := [name for name in names if name not in systems()]:
        raise click.ClickException(f"--variants {', '.join(unknown)}: there are {', '.join(systems())}")
    found: dict[str, Any] = {}
    for name in names:
        changes = {key: value for key, value in systems()[name].items() if key != "title"}
        found[name] = train_seeds(encoder, data, preset, seeds, epochs, changes)
        click.echo(f"{title(name)}: {found[name]['mean']}")
    first = found[names[0]]
    for name in names[1:]:
        apart = [found[name]["scores"][seed]["re_plus"] - scores["re_plus"] for seed, scores in first["scores"].items()]
        found[name]["against"] = {
            "re_plus": round(statistics.mean(apart), 2),
            "sd": round(statistics.stdev(apart), 2) if len(apart) > 1 else None,
            "p": paired_t(apart),
            "speed": round(found[name]["sentences_per_s_each"] / first["sentences_per_s_each"], 3),
        }
    return found


def train_seeds(
    encoder: str, data: str, preset: str, seeds: Sequence[int], epochs: int, changes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Train one process a seed at the same time; test scores in percent by seed, their means, and seconds in all.

    `changes`: other keys of the configuration.
    """
    given = {"encoder": encoder, "data": data, "preset": preset, "side_by_side": len(seeds)}
    given["changes"] = {**(changes or {}), "train.epochs": epochs}
    command = [sys.executable, "-c", "from bench.gpu_seeds import run_one; run_one()"]
    started = time.perf_counter()
    running = [
        subprocess.Popen([*command, json.dumps({**given, "seed": seed})], stdout=subprocess.PIPE, text=True)
        for seed in seeds
    ]
    answers = [process.communicate()[0].strip().splitlines() for process in running]
    if failed := [seed for seed, process in zip(seeds, running, strict=True) if process.returncode]:
        raise click.ClickException(f"seeds {failed} failed; see their error above")
    rows = [json.loads(lines[-1]) for lines in answers]
    return {
        "preset": preset,
        "epochs": epochs,
        "seconds": round(time.perf_counter() - started, 1),
        "scores": {str(seed): row["test"] for seed, row in zip(seeds, rows, strict=True)},
        "mean": {level: round(statistics.mean(row["test"][level] for row in rows), 1) for level in LEVELS},
        "sentences_per_s_each": round(statistics.mean(row["sentences_per_s"] for row in rows), 1),
    }


def train_one(encoder: str, data: str, preset: str, seed: int, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Train one seed in this process, as `tablert train` does without its files, and score test at the last epoch."""
    given = {"data.path": data, "model.encoder": encoder, "data.train_on": "train+dev"}
    config = load_config(preset, {**given, **changes})
    place = choose_context(config)
    prepare_device(place)
    prepared = prepare(config, seed)
    model, splits = prepared.model, examples_of(prepared, config, place)
    speeds = []
    for report in train_epochs(model, splits["train"], prepared.tags, config, seed, place):
        speeds.append(report.sentences / report.seconds)
        print(f"seed {seed} epoch {report.epoch + 1}: loss {report.loss_per_sentence:.2f}", file=sys.stderr, flush=True)
    scores = evaluate(model, splits["test"], prepared.tags, None, place).scores()
    test = {level: round(100 * scores.f1(level), 1) for level in LEVELS}
    return {"seed": seed, "test": test, "sentences_per_s": round(statistics.median(speeds), 1)}


def run_one() -> None:
    """Read one seed's arguments as JSON from the command line; print its result as the last line."""
    given = json.loads(sys.argv[1])
    # Beside other seeds: with all cores each, they would wait for each other's threads.
    torch.set_num_threads(max(1, torch.get_num_threads() // given.pop("side_by_side")))
    print(json.dumps(train_one(**given)))
