"""What a study leaves: its page, the command on it, the scores as JSON, and its end in MLflow."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


def typed_command() -> str:
    """What was typed, without the folders of this machine; of a resumed study, the command that runs it from the start."""
    words = ["tablert", *("--name" if word == "--resume" else word for word in sys.argv[1:] if word != "--finished")]
    shown = []
    for word in words:
        key, equals, value = word.rpartition("=")
        path = Path(value)
        shown.append(f"{key}{equals}{path.name}" if path.is_absolute() else word)
    return " ".join(shown)


def written(path: Path, text: str) -> Path:
    """The path, once the text is there whole."""
    from tablert_dist.storage.atomic import write_text

    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path


def scores_file(done: Any, path: Path) -> Path:
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
    return written(path, json.dumps(rows, indent=1))


def refuse_empty(found: Sequence[Any], parent: Any, why: str) -> None:
    """Raise InputError where `--finished` finds nothing to show; the study stays a stopped one, in MLflow too."""
    from tablert_dist.errors import InputError

    if not found:
        parent.close("KILLED", timeout=60.0)
        raise InputError(f"--finished: {why}; go on with --resume alone")


def finish(files: Sequence[Path], parent: Any, page: str, whole: bool) -> None:
    """Log the files with the study's run in MLflow and print the page; a study that is not `whole` stays a stopped one."""
    for file in files:
        parent.artifact(file, "study")
    parent.close("FINISHED" if whole else "KILLED", timeout=60.0)
    click.echo(page)
    for file in files:
        click.echo(f"written: {file}")
