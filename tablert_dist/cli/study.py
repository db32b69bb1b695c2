"""`tablert study layers|main`: the paper's comparisons on your data and encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tablert_dist.cli import complete
from tablert_dist.cli.common import (
    HELP,
    accept_option,
    config_options,
    example_lines,
    force_option,
    plain_errors,
    refuse_existing,
    set_up_logging,
)
from tablert_dist.cli.reading import reading_options
from tablert_dist.cli.stoppable import stoppable
from tablert_dist.cli.study_report import finish, refuse_empty, scores_file, typed_command, written

if TYPE_CHECKING:
    from tablert_dist.config import Config
    from tablert_dist.study.run import Done, StudyPart
    from tablert_dist.tracking import Tracker

    Ran = tuple[Path, list[Done], Tracker]


LAYERS = "tablert study layers --config conll04 --data data/conll04 --layers 0,2,4,6 --seeds 1,2,3"
MAIN = "tablert study main --config conll04 --data data --datasets conll04,ade --seeds 1,2,3"


@click.group(
    help="Compare systems as the paper does: by encoder layer, or on whole data sets.",
    context_settings=HELP,
    epilog=example_lines((LAYERS, MAIN)),
)
def command() -> None:
    """The group; each study is a command."""


@dataclass(frozen=True)
class Asked:
    """The options that both studies have."""

    names: str
    variants: str | None
    seeds: str
    epochs: int | None
    name: str | None
    resume: str | None
    out: Path | None
    keep_weights: bool
    accept_changed_data: bool
    finished: bool
    force: bool

    @property
    def systems(self) -> list[str]:
        """By name."""
        return self.names.split(",")

    def words(self, kind: str, own: dict[str, str]) -> list[str]:
        """The study's options as on the command line, `own` being those of its kind, so that it can be resumed."""
        given = {**own, "--systems": self.names, "--seeds": self.seeds}
        words = [kind, *(word for option in given.items() for word in option)]
        words += ["--epochs", str(self.epochs)] if self.epochs else []
        return words + (["--variants", self.variants] if self.variants else [])

    def run(self, config: Config, parts: Sequence[StudyPart], words: Sequence[str]) -> Ran:
        """As `run_study`."""
        from tablert_dist.runs.store import new_name
        from tablert_dist.study.run import run_study

        name = self.resume or self.name or new_name("study")
        with stoppable() as stop:
            return run_study(
                config,
                parts,
                name,
                bool(self.resume),
                self.epochs,
                click.echo,
                self.keep_weights,
                words,
                stop,
                self.accept_changed_data,
                self.finished,
            )


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What both studies have, given to the function as `asked`."""

    @click.option("--systems", "names", default="cnn,tablert,spert", show_default=True, help="Heads to compare.")
    @click.option("--variants", default=None, metavar="FILE", help="TOML with more systems: plus, rates or a path.")
    @click.option("--seeds", default="1", show_default=True, help="Seeds to train with, such as 1,2,3.")
    @click.option(
        "--epochs", type=click.IntRange(1), default=None, help="Epochs of every system, instead of its own number."
    )
    @click.option("--name", default=None, help="Name of the run; unset: made from the date and time.")
    @click.option(
        "--resume",
        default=None,
        metavar="NAME",
        shell_complete=complete.runs,
        help="Resume an interrupted study; finished cells are not run again.",
    )
    @click.option(
        "--out", type=click.Path(path_type=Path), default=None, help="Folder for the tables; unset: the run's folder."
    )
    @click.option("--keep-weights", is_flag=True, help="Keep every cell's checkpoints beside its predictions.")
    @click.option("--finished", is_flag=True, help="With --resume: the page of the cells that are done; train none.")
    @accept_option
    @force_option
    @wraps(function)
    def wrapper(**arguments: Any) -> None:
        asked = Asked(**{field.name: arguments.pop(field.name) for field in fields(Asked)})
        if asked.name and asked.resume:
            from tablert_dist.errors import InputError

            raise InputError("give --name for a new study or --resume for an old one, not both")
        if asked.finished and not asked.resume:
            from tablert_dist.errors import InputError

            raise InputError("--finished: say of which study, with --resume NAME")
        if asked.variants:
            from tablert_dist.study.cells import use_variants

            use_variants(asked.variants)
        set_up_logging()
        if asked.out is not None:
            kind = click.get_current_context().command.name
            refuse_existing(*(asked.out / f"{kind}.{ending}" for ending in ("md", "json")), force=asked.force)
        if asked.resume or asked.name:
            from tablert_dist.runs.location import with_storage
            from tablert_dist.runs.store import RunStore

            # Before the data are read. `main` takes each part's configuration from its data set: what differs is for later.
            RunStore.named(
                with_storage(arguments["config"]), str(asked.resume or asked.name), bool(asked.resume), "study"
            )
        function(asked=asked, **arguments)

    return wrapper


@command.command(
    help="Systems by encoder layers, frozen and updated: the paper's Tables 3, 4 and Figures 2 to 4, on dev.",
    context_settings=HELP,
    epilog=example_lines((LAYERS,)),
)
@click.option("--layers", default="0,2,4,6", show_default=True, help="Encoder layers; 0 is the embedding output.")
@click.option("--ways", default="frozen,updated", show_default=True, help="Train the encoder: frozen, updated or both.")
@plain_errors
@config_options
@reading_options
@_options
def layers(config: Config, layers: str, ways: str, asked: Asked) -> None:
    """Run what is missing and write the page, its figures and the scores."""
    from tablert_dist.errors import InputError
    from tablert_dist.study.cells import grid
    from tablert_dist.study.figures import draw_figures
    from tablert_dist.study.layers import layers_page
    from tablert_dist.study.run import StudyPart
    from tablert_dist.train.fit import absolute_data, check

    wanted = _numbers("--layers", layers)
    for way in ways.split(","):
        if way not in {"frozen", "updated"}:
            raise InputError(f"--ways {way}: there are frozen and updated")
    cells = grid(asked.systems, wanted, [way == "frozen" for way in ways.split(",")], _numbers("--seeds", asked.seeds))
    config = absolute_data(config)
    corpus = check(
        config.model_copy(update={"model": config.model.model_copy(update={"layer": max(wanted)})}), click.echo
    )
    if "dev" not in corpus.splits:
        raise InputError(f"{corpus.name} has no development split, which this study scores")
    words = asked.words("layers", {"--layers": layers, "--ways": ways})
    part = StudyPart(corpus.name, config, cells, corpus)
    folder, done, parent = asked.run(config, [part], words)
    refuse_empty(done, parent, f"no setting of study {asked.resume} has all its seeds yet")
    page = layers_page(done, part, typed_command())
    target = asked.out or folder / "study"
    files = [
        written(target / "layers.md", page),
        *draw_figures(done, target),
        scores_file(done, target / "layers.json"),
    ]
    finish(files, parent, page, len(done) == len(cells))


@command.command(
    "main",
    help="Systems on whole data sets with several seeds: the paper's Table 2, on test.",
    context_settings=HELP,
    epilog=example_lines((MAIN,)),
)
@click.option("--datasets", default="conll04,ade,scierc", show_default=True, help="Folders in --data, by name.")
@click.option(
    "--folds", default="0-9", show_default=True, help="Folds to run of a data set in folds, such as 0,1 or 0-9."
)
@plain_errors
@config_options
@reading_options
@_options
def main_study(config: Config, datasets: str, folds: str, asked: Asked) -> None:
    """Run what is missing and write the page and the scores."""
    from tablert_dist.study.cells import grid
    from tablert_dist.study.datasets import parts_of
    from tablert_dist.study.main import main_page

    cells = grid(asked.systems, [config.model.layer], [config.model.frozen], _numbers("--seeds", asked.seeds))
    parts = parts_of(config, datasets.split(","), _numbers("--folds", folds), cells, click.echo)
    words = asked.words("main", {"--datasets": datasets, "--folds": folds})
    folder, done, parent = asked.run(config, parts, words)
    whole = [part for part in parts if sum(one.part == part.name for one in done) == len(part.cells)]
    refuse_empty(whole, parent, f"no data set of study {asked.resume}, or fold of one, has all its cells yet")
    names = {part.name for part in whole}
    page = main_page([one for one in done if one.part in names], whole, typed_command())
    target = asked.out or folder / "study"
    finish(
        [written(target / "main.md", page), scores_file(done, target / "main.json")],
        parent,
        page,
        len(whole) == len(parts),
    )


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
