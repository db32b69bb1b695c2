"""Run every measurement and write the table in BENCHMARKS.md between its two marks."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from bench.commands import COMMANDS, discover
from bench.options import UnavailableError

HIDDEN = {"rows", "bench", "hidden", "channels", "kernel", "words", "batch", "backward", "encoder"}
"""What the command says already."""
BEGIN, END = "<!-- begin: make bench -->", "<!-- end: make bench -->"
PAGE = Path("BENCHMARKS.md")


class FailedError(Exception):
    """A bench ended without its JSON line; the message is the last thing that it said."""


@click.command()
@click.option("--smoke", is_flag=True, help="Run every bench there is with --smoke; BENCHMARKS.md stays as it is.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this bench; may be repeated. BENCHMARKS.md stays.")
def main(smoke: bool, only: tuple[str, ...]) -> None:
    """Run each command in a process of its own, one after the other, and print its JSON line.

    A bench that fails is reported and the others still run; then the exit code is 1. BENCHMARKS.md is rewritten only
    when every row was measured: its table is of one machine on one day, so a row that failed must not keep an
    older figure, and a table without it would hide the failure.
    """
    commands = [f"{name} --smoke" for name in discover()] if smoke else COMMANDS
    if only:
        wanted = {f"bench.{name.removeprefix('bench.')}" for name in only}
        if unknown := wanted - {command.split()[0] for command in commands}:
            raise click.UsageError(f"{', '.join(sorted(unknown))}: no such bench here")
        commands = [command for command in commands if command.split()[0] in wanted]
    rows, failed = [], []
    for command in commands:
        try:
            result = run(command)
        except FailedError as error:
            failed.append(command)
            click.echo(f"{command}: FAILED: {error}", err=True)
        else:
            rows.append(row(command, result))
    if failed:
        stays = "" if smoke or only else f"; {PAGE} stays as it was"
        raise click.ClickException(f"{len(failed)} of {len(commands)} failed: {', '.join(failed)}{stays}")
    if not (smoke or only):
        write_table(rows)


def run(command: str) -> dict[str, Any]:
    """Return a bench's result and print its line. Raise FailedError if it fails or prints no result.

    Of a bench that this machine cannot run the result is that it cannot.
    """
    done = subprocess.run([sys.executable, "-m", *command.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        if done.returncode != UnavailableError.exit_code:
            raise FailedError(said)
        click.echo(f"{command}: {said}")
        return {"ratio": "–", "not here": said}
    line = (done.stdout.strip().splitlines() or [""])[-1]
    try:
        result: dict[str, Any] = json.loads(line)
        result["ratio"]
    except (ValueError, KeyError, TypeError):
        raise FailedError(f"its last line is no result: {line!r}") from None
    click.echo(line)
    return result


def row(command: str, result: dict[str, Any]) -> str:
    """Return the command's row of the table."""
    facts = ", ".join(f"{key} {value}" for key, value in result.items() if key not in HIDDEN | {"ratio"})
    return f"| `python -m {command}` | {result['ratio']} | {facts} |"


def write_table(rows: list[str]) -> None:
    """Replace what stands between the two marks."""
    machine = (
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {datetime.date.today()}"
    )
    table = "\n".join(
        [
            f"Machine: {machine}.",
            "",
            "| command | ratio | the two medians in seconds, and more |",
            "|---|---|---|",
            *rows,
        ]
    )
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
