"""Damage models by the thousand and load each: it works, or it is refused in a sentence.

python -m tests.support.fuzz --count 10000 [--seed 1]

A mutation is made from the seed and its number alone, so that one that fails can be looked at again with --first.
"""

from __future__ import annotations

import json
import logging
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from tablert_dist.errors import InputError, RunError
from tablert_dist.inference.predictor import Predictor
from tests.support import GOLDEN
from tests.support.altered import sealed_again
from tests.support.mutations import mutated

MODELS = ("bundle/cnn-fp32", "bundle/tablert-fp32", "bundle/spert-fp32", "checkpoint/cnn", "checkpoint/spert")
MOST_MEMORY = 500
"""MB that a damaged model of 100 kB may take beyond what the others did."""
TEXT = "Ada Bo works at Acme near Oslo ."
REASONS = {
    "a hash or a seal": "was altered",
    "a file that is missing": "is missing",
    "a type, a range or JSON": "is damaged|not a schema|schema:|out(side|side of) (the vocabulary|its folder)|its format is",
    "the graphs": r"\.onnx: |has the graphs",
    "the tokenizer": "not a tokenizer|tokenizer",
    "the weights": "does not fit its configuration|its weights|model.safetensors",
    "the encoder": "encoder/config.json",
    "no model at all": "is neither a bundle",
}
"""Of a refusal, by what it says."""


@dataclass(frozen=True)
class Outcome:
    """What loading a damaged model came to. `fault`: neither of the two that are allowed."""

    number: int
    model: str
    mutation: str
    result: str
    fault: str = ""


def models(folder: Path) -> list[Path]:
    """Copies of the golden models, sealed as this version seals them."""
    made = []
    for name in MODELS:
        model = folder / name
        shutil.copytree(GOLDEN / name, model)
        sealed_again(model, always=True)
        made.append(model)
    return made


def fuzz(numbers: range, seed: int, folder: Path) -> Iterator[Outcome]:
    """Make each mutation and load it."""
    made = models(folder)
    for number in numbers:
        rng = random.Random(f"{seed} {number}")  # no secret is made of it
        model = rng.choice(made)
        before = largest()
        with mutated(model, rng) as mutation:
            result, fault = loaded(model)
        grown = largest() - before
        if number != numbers.start and grown > MOST_MEMORY:
            fault = fault or f"it took {grown:.0f} MB more than any before"
        yield Outcome(number, model.relative_to(folder).as_posix(), str(mutation), result, fault)


def loaded(model: Path) -> tuple[str, str]:
    """What loading a model and reading a text with it comes to, and the fault where it is one."""
    try:
        Predictor.load(model).predict(TEXT)
    except (InputError, RunError) as error:
        told = str(error)
        reason = next((kind for kind, sign in REASONS.items() if re.search(sign, told)), "another reason")
        return reason, f"more than one line: {told!r}" if "\n" in told else ""
    except BaseException as error:  # Rust's panics are no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return "fault", f"{type(error).__name__}: {str(error)[:300]}"
    return "it works", ""


def largest(of: int = resource.RUSAGE_SELF) -> float:
    """The largest size of the process so far, in MB."""
    return resource.getrusage(of).ru_maxrss / 1e3


def in_children(first: int, count: int, seed: int) -> Iterator[Outcome]:
    """As `fuzz`, in a process that is started again where it dies: what ends it is a fault too."""
    at, end = first, first + count
    while at < end:
        words = [sys.executable, "-m", "tests.support.fuzz", "--child", "--first", str(at), "--count", str(end - at)]
        child = subprocess.Popen([*words, "--seed", str(seed)], stdout=subprocess.PIPE, text=True)
        assert child.stdout
        for line in child.stdout:
            if line.startswith("{"):
                yield Outcome(**json.loads(line))
                at += 1
        if child.wait() and at < end:
            yield Outcome(at, "?", f"number {at}", "fault", f"the process died with {child.returncode}")
            at += 1


@click.command()
@click.option("--count", default=10_000, show_default=True)
@click.option("--first", default=0, show_default=True, help="Number of the first mutation.")
@click.option("--seed", default=1, show_default=True)
@click.option("--child", is_flag=True, hidden=True)
def main(count: int, first: int, seed: int, child: bool) -> None:
    """Print what the mutations came to; exit code 1 where one is neither loaded nor refused in a sentence."""
    logging.disable(logging.WARNING)
    if child:
        with tempfile.TemporaryDirectory() as folder:
            for outcome in fuzz(range(first, first + count), seed, Path(folder)):
                click.echo(json.dumps(asdict(outcome)))
        return
    started, results, faults = time.monotonic(), Counter[str](), 0
    for outcome in in_children(first, count, seed):
        results[outcome.result] += 1
        if outcome.fault:
            faults += 1
            click.echo(f"{outcome.number}: {outcome.model}: {outcome.mutation}: {outcome.fault}", err=True)
    click.echo(f"{count} mutations of {len(MODELS)} models, seed {seed}, {time.monotonic() - started:.0f} s")
    for result, number in results.most_common():
        click.echo(f"{number:7} {result}")
    click.echo(f"{faults} faults; largest process {largest(resource.RUSAGE_CHILDREN):.0f} MB")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
