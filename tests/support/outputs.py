"""Run a page's bash blocks and write what they print into the blocks titled "output" that follow them.

python -m tests.support.outputs PAGE FOLDER [--all]

FOLDER is where the commands run: a copy of tests/data/own for the own-data page, the repository for others. Without --all
only the blocks that show their output run. A block that waits for its output is "…", which the tests accept while PENDING
of `docs.py` names something.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import click

from tests.support import ROOT
from tests.support.docs import Block, blocks

MARK = "\x1e"
FIRST, LAST = 8, 14
"""Lines that stay of a long output."""


def commands_here(folder: Path) -> dict[str, str]:
    """Return an environment in which `tablert` and `tablert-export`, written to a new folder, are this tree's."""
    folder.mkdir()
    for name, module in (("tablert", "tablert_dist.cli"), ("tablert-export", "export.cli")):
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n', encoding="utf-8")
        path.chmod(0o755)
    paths = os.pathsep.join([str(folder), os.environ["PATH"]])
    return {**os.environ, "PATH": paths, "PYTHONPATH": str(ROOT), "no_proxy": "localhost", "HF_HUB_OFFLINE": "1"}


def shown(page: Path) -> list[tuple[Block, Block | None]]:
    """Return every bash block with the block of its output, where one follows."""
    found = blocks(page)
    after = {id(a): b for a, b in pairwise(found) if b.title == "output"}
    return [(block, after.get(id(block))) for block in found if block.language == "bash"]


def tidy(output: str) -> str:
    """Return an output as a page shows it: without colours and passing progress, its middle left out where it is long."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output).replace(f"{Path(sys.executable).parent}/", "")
    lines = [line.rstrip() for line in plain.splitlines() if not re.search(r"^epoch .* step \d", line)]
    if len(lines) > FIRST + LAST + 8:
        lines = [*lines[:FIRST], "…", *lines[-LAST:]]
    return "\n".join(lines).strip("\n") + "\n"


@click.command()
@click.argument("page", type=click.Path(exists=True, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--all", "everything", is_flag=True, help="Run every bash block, not only those that show their output.")
def main(page: Path, folder: Path, everything: bool) -> None:
    """Write the outputs into PAGE."""
    page = page.resolve()
    chosen = [(block, output) for block, output in shown(page) if everything or output]
    script = "".join(f"printf '{MARK}'\n{block.text}" for block, _ in chosen)
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            ["bash", "-e", "-m", "-o", "pipefail", "-c", script],
            cwd=folder,
            env={**commands_here(Path(scratch) / "bin"), "COLUMNS": "100"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    parts = done.stdout.split(MARK)[1:]
    if done.returncode or len(parts) != len(chosen):
        raise click.ClickException(f"{chosen[len(parts) - 1][0].where} failed:\n{parts[-1]}")
    text = page.read_text(encoding="utf-8")
    for (_, output), printed in zip(chosen, parts, strict=True):
        if output:
            text = text.replace(
                f'```text title="output"\n{output.text}```', f'```text title="output"\n{tidy(printed)}```', 1
            )
    page.write_text(text, encoding="utf-8")
    click.echo(f"{page.relative_to(ROOT)}: {sum(o is not None for _, o in chosen)} outputs written")


if __name__ == "__main__":
    main()
