"""`tablert study layers|main`: the paper's comparisons on your data and encoder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tablert_dist.cli.common import config_options, plain_errors, set_up_logging

if TYPE_CHECKING:
    from tablert_dist.config import Config


@click.group(help="Compare systems as the paper does: by encoder layer, or on whole data sets.")
def command() -> None:
    """The group; each study is a command."""


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What both studies have."""

    @click.option("--systems", "names", default="cnn,tablert,spert", show_default=True, help="Which heads.")
    @click.option("--variants", default=None, metavar="FILE", help="TOML with more systems: plus (shipped) or a path.")
    @click.option("--seeds", default="1", show_default=True, help="Such as 1,2,3: a training for each.")
    @click.option("--epochs", type=click.IntRange(1), default=None, help="In the place of every system's own number.")
    @click.option("--name", default=None, help="Name of the run; unset: made from the time.")
    @click.option(
        "--resume", default=None, metavar="NAME", help="Go on with this study; no finished cell is run again."
    )
    @click.option(
        "--out", type=click.Path(path_type=Path), default=None, help="Folder for the tables; unset: the run's."
    )
    @click.option("--keep-weights", is_flag=True, help="Keep every cell's checkpoints and not its predictions alone.")
    @wraps(function)
    def wrapper(**arguments: Any) -> None:
        if arguments["name"] and arguments["resume"]:
            from tablert_dist.errors import InputError

            raise InputError("give --name for a new study or --resume for an old one, not both")
        if arguments["variants"]:
            from tablert_dist.study.cells import use_variants

            use_variants(arguments["variants"])
        set_up_logging()
        function(**arguments)

    return wrapper


@command.command(
    help="Systems by encoder layers, frozen and updated: the paper's Tables 3, 4 and Figures 2 to 4, on dev."
)
@click.option("--layers", default="0,2,4,6", show_default=True, help="Encoder layers; 0 is the embedding output.")
@click.option("--ways", default="frozen,updated", show_default=True, help="Of the encoder's weights.")
@plain_errors
@config_options
@_options
def layers(
    config: Config,
    layers: str,
    ways: str,
    names: str,
    seeds: str,
    epochs: int | None,
    name: str | None,
    resume: str | None,
    out: Path | None,
    keep_weights: bool,
    variants: str | None,
) -> None:
    """Run what is missing and write the page, its figures and the scores."""
    from tablert_dist.errors import InputError
    from tablert_dist.study.cells import grid
    from tablert_dist.study.figures import draw_figures
    from tablert_dist.study.layers import layers_page
    from tablert_dist.study.run import Part, run_study
    from tablert_dist.train.fit import absolute_data, check
    from tablert_dist.train.runs import new_name

    wanted = _numbers("--layers", layers)
    for way in ways.split(","):
        if way not in {"frozen", "updated"}:
            raise InputError(f"--ways {way}: there are frozen and updated")
    cells = grid(names.split(","), wanted, [way == "frozen" for way in ways.split(",")], _numbers("--seeds", seeds))
    config = absolute_data(config)
    given = {"--systems": names, "--layers": layers, "--ways": ways, "--seeds": seeds}
    options = ["layers", *_given(given, epochs, variants)]
    corpus = check(
        config.model_copy(update={"model": config.model.model_copy(update={"layer": max(wanted)})}), click.echo
    )
    if "dev" not in corpus.splits:
        raise InputError(f"{corpus.name} has no development split, which this study scores")
    part = Part(corpus.name, config, cells, corpus)
    folder, done, parent = run_study(
        config, [part], resume or name or new_name("study"), bool(resume), epochs, click.echo, keep_weights, options
    )
    page = layers_page(done, config, corpus.name, _command())
    target = out or folder / "study"
    files = [_write(target / "layers.md", page), *draw_figures(done, target), _scores(done, target / "layers.json")]
    _finish(files, parent, page)


@command.command("main", help="Systems on whole data sets with several seeds: the paper's Table 2, on test.")
@click.option("--datasets", default="conll04,ade,scierc", show_default=True, help="Folders in --data, by name.")
@click.option("--folds", default="0-9", show_default=True, help="Of a data set in folds: such as 0,1 or 0-9.")
@plain_errors
@config_options
@_options
def main_study(
    config: Config,
    datasets: str,
    folds: str,
    names: str,
    seeds: str,
    epochs: int | None,
    name: str | None,
    resume: str | None,
    out: Path | None,
    keep_weights: bool,
    variants: str | None,
) -> None:
    """Run what is missing and write the page and the scores."""
    from tablert_dist.study.cells import grid
    from tablert_dist.study.datasets import parts_of
    from tablert_dist.study.main import main_page
    from tablert_dist.study.run import run_study
    from tablert_dist.train.runs import new_name

    cells = grid(names.split(","), [config.model.layer], [config.model.frozen], _numbers("--seeds", seeds))
    given = {"--datasets": datasets, "--folds": folds, "--systems": names, "--seeds": seeds}
    options = ["main", *_given(given, epochs, variants)]
    parts = parts_of(config, datasets.split(","), _numbers("--folds", folds), cells, click.echo)
    folder, done, parent = run_study(
        config, parts, resume or name or new_name("study"), bool(resume), epochs, click.echo, keep_weights, options
    )
    page = main_page(done, parts, _command())
    target = out or folder / "study"
    _finish([_write(target / "main.md", page), _scores(done, target / "main.json")], parent, page)


def _numbers(option: str, text: str) -> list[int]:
    """`0,2,4` or `0-9`."""
    from tablert_dist.errors import InputError

    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            found += range(int(first), int(last) + 1) if dash else [int(first)]
        except ValueError:
            raise InputError(f"{option} {text}: write whole numbers, such as 0,2,4 or 0-9") from None
    return found


def _given(options: dict[str, str], epochs: int | None, variants: str | None) -> list[str]:
    """The study's own options as words."""
    words = [word for option in options.items() for word in option]
    words += ["--epochs", str(epochs)] if epochs else []
    return words + (["--variants", variants] if variants else [])


def _command() -> str:
    """What was typed, without the folders of this machine; of a study that was gone on with, what makes it anew."""
    words = ["tablert", *("--name" if word == "--resume" else word for word in sys.argv[1:])]
    shown = []
    for word in words:
        key, equals, value = word.rpartition("=")
        path = Path(value)
        shown.append(f"{key}{equals}{path.name}" if path.is_absolute() else word)
    return " ".join(shown)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _scores(done: Any, path: Path) -> Path:
    """Every cell with its scores, as JSON."""
    import json
    from dataclasses import asdict

    rows = [
        {
            "part": one.part,
            **asdict(one.cell),
            "parameters": one.result["parameters"],
            "epoch": one.result["epoch"],
            "epochs": one.result["epochs"],
            "scores": one.result["scores"],
        }
        for one in done
    ]
    return _write(path, json.dumps(rows, indent=1))


def _finish(files: list[Path], parent: Any, page: str) -> None:
    if parent:
        for file in files:
            parent.artifact(file, "study")
        parent.close("FINISHED", timeout=60.0)
    click.echo(page)
    for file in files:
        click.echo(f"written: {file}")
