"""Run every measurement and write the table in BENCHMARKS.md between its two marks."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

COMMANDS = [
    "bench.pair_conv",
    "bench.pair_conv --backward",
    "bench.pair_conv --backward --batch 4",
    "bench.pair_conv --backward --words 100 --repeats 3",
    "bench.pair_conv --backward --kernel 5 --repeats 3",
    "bench.gemm",
    "bench.ways",
    "bench.train_step",
    "bench.train_step --encoder bert-base-shape --batches 3",
    "bench.memory",
    "bench.long",
    "bench.frozen",
    "bench.plus",
    "bench.ddp",
    "bench.ddp --batch 32 --batches 6",
    "bench.growth",
    "bench.startup",
    "bench.read --sentences 100000",
]
HIDDEN = {"bench", "hidden", "channels", "kernel", "words", "batch", "backward", "encoder"}
"""What the command says already."""
BEGIN, END = "<!-- begin: make bench -->", "<!-- end: make bench -->"


def main() -> None:
    """Each command in a process of its own, one after the other."""
    rows = []
    for command in COMMANDS:
        words = [sys.executable, "-m", *command.split()]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        line = done.stdout.strip().splitlines()[-1]
        print(line, flush=True)
        result = json.loads(line)
        ratio = result.pop("ratio")
        facts = ", ".join(f"{key} {value}" for key, value in result.items() if key not in HIDDEN)
        rows.append(f"| `python -m {command}` | {ratio} | {facts} |")
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
    path = Path("BENCHMARKS.md")
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
