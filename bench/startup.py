"""Seconds until `tablert --help` has answered, and until `import tablert_dist` has, against a bare interpreter."""

from __future__ import annotations

import subprocess
import sys

import click

from bench.options import smoke_option
from bench.timing import interleaved, report


@click.command()
@smoke_option(repeats=1)
@click.option("--repeats", default=9, show_default=True)
def main(repeats: int) -> None:
    """Print both, each beside `python -c pass`."""

    def run(*words: str) -> None:
        subprocess.run([sys.executable, *words], check=True, capture_output=True)

    def bare() -> None:
        run("-c", "pass")

    shown = interleaved(lambda: run("-m", "tablert_dist.cli", "--help"), bare, repeats)
    imported = interleaved(lambda: run("-c", "import tablert_dist"), bare, repeats)
    result = {
        "ratio": shown["ratio"],
        "help_s": shown["slow_s"],
        "import_s": imported["slow_s"],
        "bare_python_s": shown["fast_s"],
    }
    report("startup", result)


if __name__ == "__main__":
    main()
