"""`tablert tune`, also `python -m tablert_dist.tune`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from tablert_dist.cli import complete
from tablert_dist.cli.common import (
    accept_option,
    config_options,
    plain_errors,
    set_up_logging,
    trust_option,
    verb,
)
from tablert_dist.cli.reading import reading_options
from tablert_dist.cli.stoppable import stoppable

if TYPE_CHECKING:
    from tablert_dist.config import Config
    from tablert_dist.train.stopping import StopSignals
    from tablert_dist.tune.space import Space


@verb(
    "Search the head's settings, export and register the best model.",
    "tablert tune --config sample --space smoke",
    "tablert tune --config conll04 --data DIR --space wide --search optuna --set tune.trials=40",
)
@click.option(
    "--space",
    "space_name",
    default="paper",
    show_default=True,
    shell_complete=complete.spaces,
    help="A shipped space or a TOML file.",
)
@click.option(
    "--search",
    "how",
    type=click.Choice(["grid", "random", "optuna"]),
    default=None,
    help="Same as tune.search: how points are chosen. Unset: every grid point, or random ones where the space has ranges.",
)
@click.option(
    "--stages",
    type=click.IntRange(1, 2),
    default=None,
    help="Same as tune.stages. 2 = search with the encoder frozen, then fine-tune the best points end to end.",
)
@click.option("--name", default=None, help="Name of the run; unset: made from the date and time.")
@click.option("--resume", default=None, metavar="NAME", shell_complete=complete.runs, help="Resume an interrupted run.")
@click.option("--no-check", is_flag=True, help="Skip the validation of the data (tablert data check).")
@accept_option
@plain_errors
@config_options
@reading_options
@trust_option
def command(
    config: Config,
    space_name: str,
    how: str | None,
    stages: int | None,
    name: str | None,
    resume: str | None,
    no_check: bool,
    accept_changed_data: bool,
) -> None:
    """Run the search to the exported, registered winner and say what was found."""
    set_up_logging()
    from rich.console import Console

    from tablert_dist.config import with_overrides
    from tablert_dist.errors import InputError

    if name and resume:
        raise InputError("give --name for a new search or --resume for an old one, not both")
    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    given = {"tune.search": how, "tune.stages": stages}
    config = with_overrides(config, {key: value for key, value in given.items() if value is not None})
    space = _space(config, space_name, resume)
    started = time.monotonic()
    from tablert_dist.runs.store import new_name
    from tablert_dist.waiting import waiting

    with stoppable() as stop:
        with waiting("loading PyTorch and Ray"):
            from tablert_dist.tune.progress import progress_callback
            from tablert_dist.tune.search import search
        result, corpus, scaling = search(
            config,
            space,
            resume or name or new_name("tune"),
            bool(resume),
            click.echo,
            progress_callback(config.train.epochs),
            validate=not no_check,
            stop=stop,
            accept_changed=accept_changed_data,
        )
        with result.run:
            _report(console, config, result, corpus, scaling, started, stop)


def _space(config: Config, name: str, resume: str | None) -> Space:
    """The named space; of a resumed search, where none is named, its own."""
    from tablert_dist.cli.resumed import given, of_record
    from tablert_dist.tune.space import Space, load_space

    if resume and not given("space_name"):
        found = of_record(resume, config.train.storage, {})
        if found and "tree" in found[1]:
            return Space.of_tree(found[1]["tree"])
    return load_space(name, config)


def _report(
    console: object, config: Config, result: object, corpus: object, scaling: object, started: float, stop: StopSignals
) -> None:
    """The table, the winner, its scores, the export, one extraction, and where to look."""
    from rich.console import Console

    from export.graph import VerificationError
    from export.publish import finish
    from tablert_dist.cli.program import near, paste
    from tablert_dist.cluster import ScalingPlan
    from tablert_dist.data import Corpus
    from tablert_dist.errors import counted
    from tablert_dist.inference.predictor import Predictor
    from tablert_dist.scoring import LEVELS, TITLES
    from tablert_dist.tracking import redact
    from tablert_dist.tune.progress import describe, trial_table
    from tablert_dist.tune.search import SearchResult

    assert isinstance(console, Console) and isinstance(result, SearchResult)
    assert isinstance(corpus, Corpus) and isinstance(scaling, ScalingPlan)
    if result.earlier:
        title = "first stage: heads on the frozen encoder, dev scores at each one's best epoch"
        console.print(trial_table(result.earlier, None, title))
    console.print(trial_table(result.trials, result.best))
    click.echo(f"best configuration: {result.best.name}: {describe(result.best.point)}, epoch {result.best.best_epoch}")
    try:
        done = finish(result, corpus, scaling, click.echo, stop)
    except VerificationError as error:
        raise click.ClickException(f"the export failed its verification: {error}") from None
    if done.retrained:
        for line in done.retrained.summary():
            click.echo(f"retrained, {line}")
    for split, one in done.scored.items():
        click.echo(f"{split}: " + "  ".join(f"{TITLES[level]} {100 * one.scores.f1(level):.1f}" for level in LEVELS))
    facts = next(iter(done.scored.values())).protocol
    click.echo(
        f"protocol: {facts.dataset} {facts.data_hash[:8]}, trained on {facts.trained_on}, micro F1 in percent, "
        f"{facts.encoder}, {counted(facts.epochs, 'epoch')}, {facts.selection}, chosen from "
        f"{counted(facts.chosen_from, 'trial')} on dev"
    )
    for line in done.report.lines():
        click.echo(f"export: {line}")
    bundle = near(done.bundle)
    click.echo(f"bundle: {bundle}")
    extraction = _example(Predictor.load(done.bundle, config.predict), corpus)
    click.echo(f"example: {extraction}")
    click.echo(f"next: echo 'Some text .' | {paste('tablert', 'predict', '--model', bundle)}")
    if config.tracking.enabled:
        name, alias = config.tracking.registered_model, config.tracking.alias
        if done.version is None:
            click.echo("model: not registered")
        elif done.not_champion:
            click.echo(f"model: models:/{name}/{done.version}; {done.not_champion}")
        else:
            click.echo(f"model: models:/{name}@{alias} (version {done.version})")
        shown = [] if config.tracking.uri is None else ["--set", f"tracking.uri={redact(config.tracking.uri)}"]
        stored = [] if config.train.storage is None else ["--set", f"train.storage={config.train.storage}"]
        click.echo(f"MLflow: {paste('tablert', 'ui', *(shown or stored))}")
    click.echo(f"{time.monotonic() - started:.0f} s in all")


def _example(predictor: object, corpus: object) -> str:
    """A test sentence with triples, as the bundle reads it."""
    from tablert_dist.data import Corpus
    from tablert_dist.inference.predictor import Predictor

    assert isinstance(predictor, Predictor) and isinstance(corpus, Corpus)
    texts = [" ".join(s.words) for s in corpus.splits.get("test", corpus.train) if s.relations][:20]
    found = predictor.predict(texts)
    first = next((e for e in found if e.triples()), found[0])
    triples = "; ".join(f"({head}, {kind}, {tail})" for head, kind, tail in first.triples())
    return f"{first.text}\n  -> {triples or 'no triple'}"
