"""`tablert status [NAME]`: how far a run is, from any machine that sees its storage."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tablert_dist.cli import complete
from tablert_dist.cli.common import config_options, plain_errors, verb
from tablert_dist.storage.remote import is_url

if TYPE_CHECKING:
    from tablert_dist.config import Config
    from tablert_dist.runs.status import PartStatus, RunStatus


@verb(
    "Show how far a run is, or list the runs.",
    "tablert status",
    "tablert status first --json",
    "tablert status --storage s3://bucket/runs",
)
@click.argument("name", required=False, shell_complete=complete.runs)
@click.option(
    "--storage", default=None, metavar="DIR", help="Folder or URL of the runs; same as --set train.storage=DIR."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plain_errors
@config_options
def command(config: Config, name: str | None, storage: str | None, as_json: bool) -> None:
    """Reads files only: neither torch nor Ray is loaded, and the run is not disturbed."""
    from tablert_dist.errors import InputError, counted
    from tablert_dist.runs.files import at_hand
    from tablert_dist.runs.status import read_status, run_names

    place = _root(storage or config.train.storage)
    if (storage or config.train.storage) and not is_url(place) and not Path(place).is_dir():
        raise InputError(f"there is no folder '{place}': give the storage of the runs, or a URL")
    where = place.partition("?")[0]
    with at_hand(place) as root:
        if name is not None:
            found = read_status(root, name, where=where)
            click.echo(json.dumps(_as_json(found), indent=1) if as_json else "\n".join(_lines(found, where)))
            return
        known, unreadable = [], []
        for one in run_names(root):
            try:
                known.append(read_status(root, one, where=where))
            except InputError as error:
                unreadable.append(str(error))
    known.sort(key=lambda run: run.silent_s)
    if as_json:
        click.echo(json.dumps([_as_json(run) for run in known], indent=1))
        return
    click.echo(f"{counted(len(known), 'run')} in {where}, newest first" if known else f"no run in {where}")
    for run in known:
        click.echo(f"{run.name:<28} {_kind(run):<9} {run.state:<9} {_ago(run.silent_s):>12}  {_headline(run)}".rstrip())
    for line in unreadable:
        click.echo(f"not read: {line}", err=True)


def _root(storage: str | None) -> str:
    """The folder of all runs as text; a URL stays one."""
    if storage and is_url(storage):
        return storage.rstrip("/")
    from tablert_dist.runs.location import local_root

    return str(local_root(storage))


def _kind(run: RunStatus) -> str:
    return {"train": "training", "tune": "search"}.get(run.kind, run.kind)


def _lines(run: RunStatus, where: str) -> list[str]:
    from tablert_dist.cli.program import free_name, paste, pasted
    from tablert_dist.runs.resume import resume_command

    silent = f"no sign of life for {_age(run.silent_s)}" if run.state in {"stopped", "dead"} else None
    told = silent or f"last sign of life {_ago(run.silent_s)}"
    if run.holder and run.state != "finished":
        told += f"; {'it was' if run.state == 'dead' else 'it is'} {run.holder}"
    lines = [f"{run.name}: a {_kind(run)} in {run.folder}", f"{run.state}; {told}"]
    width = max((len(part.name) for part in run.parts), default=0) + 1
    lines += [_part_line(part, run.epochs, width) for part in run.parts]
    if run.best:
        lines.append(f"best: {run.best.name}, {_scores(run.best.best)} on dev, epoch {run.best.best_epoch}")
    if run.checkpoint:
        lines.append(f"checkpoint: {run.checkpoint}")
    if run.result:
        lines.append(f"bundle: {run.result['bundle']}")
    lines += [f"MLflow: {uri}" for uri in [_tracking(run)] if uri]
    if run.state in {"stopped", "dead"}:
        known = run.state == "dead" or run.record.get("status") != "running"
        told = "go on with" if known else "if nothing of it runs any more, go on with"
        lines.append(f"{told}: {pasted(resume_command(run.record))}")
    elif run.state == "finished" and not run.result:
        words = ["--onnx", "--model", run.name, "--set", f"train.storage={where}"]
        lines.append(f"next: {paste('tablert-export', *words, '--out', free_name('bundle', run.name))}")
    return lines


def _part_line(part: PartStatus, epochs: int, width: int) -> str:
    state = f"{part.state} ({part.reason})" if part.reason else part.state
    point = ", ".join(f"{key.split('.')[-1]} {value}" for key, value in (part.point or {}).items())
    scores = (
        f"{_scores(part.dev)}  best RE+ {100 * part.best['re_plus']:.1f} (epoch {part.best_epoch})" if part.best else ""
    )
    return f"  {part.name:<{width}} {state:<26} epoch {part.epoch}/{epochs}  {scores:<54}  {point}".rstrip()


def _headline(run: RunStatus) -> str:
    from tablert_dist.errors import counted

    done = sum(part.state == "finished" for part in run.parts)
    of = {"tune": "trial", "study": "cell"}.get(run.kind, "seed")
    best = f", best RE+ {100 * run.best.best['re_plus']:.1f}" if run.best else ""
    return f"{done} of {counted(len(run.parts), of)} finished{best}"


def _scores(dev: object) -> str:
    from tablert_dist.scoring import LEVELS, TITLES

    assert isinstance(dev, dict)
    return "  ".join(f"{TITLES[level]} {100 * dev[level]:.1f}" for level in LEVELS if level in dev)


def _tracking(run: RunStatus) -> str | None:
    """MLflow's address as it may be shown."""
    from tablert_dist.tracking import default_uri, redact

    tracking = run.record["config"]["tracking"]
    if not tracking["enabled"]:
        return None
    return redact(tracking["uri"] or default_uri(Path(run.folder).parent))


def _as_json(run: RunStatus) -> dict[str, object]:
    from tablert_dist.runs.resume import resume_command

    tree = asdict(run)
    tree.pop("record")
    if tree["holder"]:
        tree["holder"] = {key: tree["holder"][key] for key in ("host", "pid", "since", "beat")}
    return {
        **tree,
        "best": run.best.name if run.best else None,
        "checkpoint": run.checkpoint,
        "mlflow": _tracking(run),
        "resume": resume_command(run.record) if run.state in {"stopped", "dead"} else None,
    }


def _ago(seconds: float) -> str:
    return f"{_age(seconds)} ago"


def _age(seconds: float) -> str:
    """`12 s`, `12 min`, `3 h 5 min`, `2 d 3 h`."""
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours >= 24:
        return f"{hours // 24} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"
