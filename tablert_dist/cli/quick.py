"""`tablert quick FILE`: from an annotation tool's export to a tested model, by the verbs that one would type oneself."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tablert_dist.cli.common import STEP, assignments_option, parsed, plain_errors, set_up_logging, stopwatch, verb
from tablert_dist.cli.reading import strict_option, text_field_option

if TYPE_CHECKING:
    from tablert_dist.config import Config

PRESET = "own"
SHOWN = 5
"""Test sentences that are printed with what the model finds in them."""
PASSED = {
    "data check": ("data.", "model."),
    "train": ("data.", "model.", "optim.", "train.", "cluster.", "tracking."),
    "export": ("data.", "export."),
    "evaluate": ("data.", "predict."),
    "predict": ("predict.",),
}
"""Sections of the configuration that each step gets of `--set`."""


@dataclass(frozen=True)
class Step:
    """One command line. `done` exists when it need not be run again."""

    program: str
    words: tuple[str, ...]
    done: Path | None = None


@verb(
    "Go from annotated text, in any format that `tablert data convert` reads, to a tested and exported model: convert, "
    "check, split, train, export, evaluate. Each step's own command is printed before it runs.",
    "tablert quick export.json",
    "tablert quick export.json --name ships --set train.epochs=20",
    "tablert quick export.json --name ships --resume",
)
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--name", default=None, help="Name of the run.  [default: FILE's, without its ending]")
@click.option(
    "--out", default=None, type=click.Path(path_type=Path), help="Folder of all that is made.  [default: ./NAME]"
)
@strict_option
@text_field_option
@assignments_option
@click.option("--resume", is_flag=True, help="Go on in the folder where an earlier call stopped.")
@plain_errors
def command(
    source: Path,
    name: str | None,
    out: Path | None,
    strict: bool,
    text_field: str | None,
    assignments: tuple[str, ...],
    resume: bool,
) -> None:
    """Run the steps in this process, then print some predictions and what to do next."""
    set_up_logging()
    from tablert_dist.cli.program import paste

    name = name or re.sub(r"[^\w.-]", "_", source.stem).lstrip(".-") or "model"
    out = out or Path(name)
    config = _configured(assignments, out)
    _refuse(source, name, out, config, resume)
    summary = stopwatch()
    reading = (*(["--strict"] if strict else []), *(["--text-field", text_field] if text_field else []))
    steps = plan(source, name, out, assignments, reading)
    for line in _rules(source):
        click.echo(line)
    out.mkdir(parents=True, exist_ok=True)
    for number, step in enumerate(steps, 1):
        click.echo(f"\n[{number}/{len(steps)}] $ {paste(step.program, *step.words)}")
        if step.done is not None and step.done.exists():
            click.echo(f"done before: {step.done}")
            continue
        if (status := _run(step)) != 0:
            again = paste("tablert", *_own_words(source, name, out, assignments), *reading)
            click.echo(
                f"stopped at step {number} of {len(steps)}; what is done lies in {out}. {_advice(step, out, again)}"
            )
            sys.exit(status)
    _show(out / "test.jsonl", out / "predicted.jsonl")
    bundle = str(out / "bundle")
    click.echo(f"\nnext: echo 'Some text .' | {paste('tablert', 'predict', '--model', bundle)}")
    click.echo(f"next: {paste('tablert', 'serve', '--model', bundle)}")
    click.echo(f"next: open {out / 'errors.html'} in a browser: the errors on dev; {out / 'check.html'}: the data")
    summary(f"{source} to {bundle}")


def plan(
    source: Path, name: str, out: Path, assignments: tuple[str, ...] = (), reading: tuple[str, ...] = ()
) -> list[Step]:
    """The steps in their order; training goes on where its run exists. `reading`: options of the first alone."""
    from tablert_dist.runs.files import RECORD

    data, parts, runs, bundle = out / "data.json", out / "data", out / "runs", out / "bundle"
    begun = (runs / name / RECORD).is_file()
    test, predicted = out / "test.jsonl", out / "predicted.jsonl"
    page, errors = out / "check.html", out / "errors.html"

    def over(path: Path) -> list[str]:
        """What an earlier call has left is written again, for what it is made of may have changed."""
        return ["--force"] if path.exists() else []

    def step(program: str, *words: object, of: str = "", done: Path | None = None) -> Step:
        kept = [text for text in assignments if text.startswith(PASSED[of])] if of else []
        flags = [word for text in kept for word in ("--set", text)]
        return Step(program, (*(str(word) for word in words), *flags), done)

    here = ("--set", "cluster.num_workers=0", "--set", f"train.storage={runs}")
    resumed = "--resume" if begun else "--name"
    again = ["--resume"] if (out / ".predicted.jsonl.part").exists() else []
    scored = ("evaluate", "--model", bundle, "--data", parts)
    return [
        step("tablert", "data", "convert", source, data, *reading, *_symmetric(source), done=data),
        step("tablert", "data", "check", data, "--config", PRESET, "--html", page, *over(page), of="data check"),
        step("tablert", "data", "split", data, "--out", parts, "--parts", "train=0.7,dev=0.15,test=0.15", done=parts),
        step("tablert", "train", "--config", PRESET, "--data", parts, resumed, name, *here, of="train", done=bundle),
        step(
            "tablert-export", "--onnx", "--model", runs / name, "--verify-data", parts / "dev.json", "--out", bundle,
            of="export", done=bundle,
        ),
        step("tablert", *scored, "--split", "test", of="evaluate"),
        step("tablert", *scored, "--split", "dev", "--report", errors, *over(errors), of="evaluate"),
        step("tablert", "data", "convert", parts / "test.json", test, done=test),
        step(
            "tablert", "predict", "--model", bundle, "--in", test, "--out", predicted, *again, *over(predicted),
            of="predict",
        ),
    ]  # fmt: skip


def _symmetric(source: Path) -> list[str]:
    """Options that keep what the types file beside the source says of symmetric types."""
    from tablert_dist.data.formats import types_file

    beside = types_file.beside(source)
    found = sorted(types_file.read(beside).symmetric) if beside else []
    return [word for name in found for word in ("--symmetric", name)]


def _rules(source: Path) -> list[str]:
    """A line where the types file beside the source has rules, which only a corpus of one's own hands on."""
    from tablert_dist.data.annotated import rules_of
    from tablert_dist.data.formats import types_file

    # A folder is converted into one file, which is split again.
    if source.is_dir() or (given := rules_of(source)) is None:
        return []
    return [
        f"rules {given.note} ({', '.join(given.relations)}) are not trained with: predict with "
        f"--set predict.constraints={types_file.beside(source)}"
    ]


def _configured(assignments: tuple[str, ...], out: Path) -> Config:
    """The configuration of the training: what is wrong in `--set` is refused before anything is made."""
    from tablert_dist.config import load_config
    from tablert_dist.errors import InputError

    given = parsed(assignments)
    for key, why in (("data.path", "it is what this command makes"), ("train.storage", "choose the folder with --out")):
        if key in given:
            raise InputError(f"--set {key}: {why}")
    return load_config(PRESET, {"cluster.num_workers": 0, "train.storage": str(out / "runs"), **given})


def _refuse(source: Path, name: str, out: Path, config: Config, resume: bool) -> None:
    """Raise InputError for what would only fail later, or write over something."""
    from tablert_dist.cli.program import paste
    from tablert_dist.errors import InputError
    from tablert_dist.runs.store import RunStore

    if not source.exists():
        raise InputError(f"{source} does not exist")
    RunStore.named(config, name, False, "train") if not resume else None
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: choose another --out")
    if resume and not out.is_dir():
        raise InputError(f"--resume: there is no folder {out}; leave --resume out to begin")
    if not resume and out.exists() and any(out.iterdir()):
        again = paste("tablert", *_own_words(source, name, out, ()))
        raise InputError(f"{out} exists: go on in it with {again}, or choose another --name or --out")


def _own_words(source: Path, name: str, out: Path, assignments: tuple[str, ...]) -> list[str]:
    """This command again, going on."""
    where = [] if str(out) == name else ["--out", str(out)]
    sets = [word for text in assignments for word in ("--set", text)]
    return ["quick", str(source), "--name", name, *where, *sets, "--resume"]


def _advice(step: Step, out: Path, again: str) -> str:
    if step.words[:2] in {("data", "convert"), ("data", "check"), ("data", "split")}:
        return f"Mend the annotation, delete {out}, and run the command again."
    if step.program == "tablert-export":
        return f"Accept what the export says with: {again} --set export.allow=REASON"
    return f"Go on with: {again}"


def _run(step: Step) -> int:
    """Call the step's own command in this process; its exit status."""
    from tablert_dist.cli.program import MODULES

    here = click.get_current_context()
    here.meta[STEP] = True
    # By name, as every verb: export.cli is a program of its own that imports from here.
    program = import_module(MODULES[step.program]).main
    try:
        with program.make_context(step.program, list(step.words), parent=here) as context:
            program.invoke(context)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except click.exceptions.Exit as ended:
        return ended.exit_code
    return 0


def _show(test: Path, predicted: Path) -> None:
    """Print some test sentences with the triples found in them, first those that are annotated with relations."""
    import json

    gold, found = (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] for path in (test, predicted)
    )
    order = sorted(range(len(gold)), key=lambda row: not gold[row].get("relations"))[:SHOWN]
    click.echo(f"\n{len(order)} of {len(gold)} test sentences, as the model reads them:")
    for row in order:
        entities, relations = found[row]["entities"], found[row]["relations"]
        click.echo(f"  {found[row]['text']}")
        for relation in relations:
            head, tail = (entities[relation[end]]["text"] for end in ("head", "tail"))
            click.echo(f"    -> ({head}, {relation['type']}, {tail})")
        if not relations:
            named = ", ".join(f"{entity['text']} [{entity['type']}]" for entity in entities)
            click.echo(f"    -> no triple; entities: {named or 'none'}")
