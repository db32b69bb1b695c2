"""Write the sha256 of every package that `make install` installs here, for an installation that takes no other file.

make lock; make install LOCK=requirements.lock

Not kept in the repository: a hash is of a file, and Python, platform and package index decide which file a version is. torch
is left out, since its builds come from an index of choice.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import click

from tablert_dist.storage.atomic import write_text
from tests.support import ROOT

LEFT_OUT = {"torch", "tablert-dist", "pip"}


def wanted() -> list[str]:
    """`name==version` of what is installed, as constraints.txt has it."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    versions = {normal(line.split("==")[0]): line for line in lines if "==" in line and not line.startswith("#")}
    here = {normal(found.metadata["Name"]) for found in distributions()} - LEFT_OUT
    return [versions[name] for name in sorted(here & versions.keys())]


def normal(name: str) -> str:
    """A project's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(report: Mapping[str, Any]) -> Iterable[str]:
    """The lines of a requirements file with hashes, from pip's installation report. Raises ValueError without a sha256."""
    for item in sorted(report["install"], key=lambda item: normal(item["metadata"]["name"])):
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        digest = item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
        if not digest:
            raise ValueError(f"the index gives no sha256 of {name} {version}")
        yield f"{name}=={version} --hash=sha256:{digest}"


@click.command()
@click.argument("out", type=click.Path(path_type=Path), default=Path("requirements.lock"))
def main(out: Path) -> None:
    """Ask pip which files it would install, and write their hashes to OUT."""
    with tempfile.TemporaryDirectory() as scratch:
        asked, report = Path(scratch, "asked.txt"), Path(scratch, "report.json")
        asked.write_text("\n".join(wanted()), encoding="utf-8")
        words = [
            "install",
            "--quiet",
            "--dry-run",
            "--no-deps",
            "--ignore-installed",
            "--report",
            str(report),
            "-r",
            str(asked),
        ]
        subprocess.run([sys.executable, "-m", "pip", *words, str(asked)], check=True)
        lines = list(locked(json.loads(report.read_text(encoding="utf-8"))))
    write_text(out, "\n".join(lines) + "\n")
    click.echo(f"{out}: {len(lines)} packages with their hashes, all but torch")


if __name__ == "__main__":
    main()
