"""Alter files of every format for minutes and read each, strictly and leniently: see `altered_files.read_or_refuse`.

python -m tests.support.fuzz_readers [--minutes 10] [--seed 1]

The last line is JSON: examples by format, seconds, faults. What fails is printed on stderr, as small as hypothesis makes it.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import FrameType

import click
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tablert_dist.data.formats import NAMES
from tests.support.altered_files import TREES, copied, docbin, fields, read_or_refuse, some_bytes, some_lines

DEADLINE = 20
"""Seconds that the reads of one file of a few kB may take: beyond it hangs."""
AT_ONCE = {"hf": 10}
"""Examples of a format in a row, where they are fewer than MANY."""
MANY = 40
KINDS = {
    **dict.fromkeys(NAMES, ("bytes", "lines")),
    **dict.fromkeys(TREES, ("fields", "bytes", "lines")),
    "spacy": ("bytes", "parts"),
    "hf": ("bytes",),
}
"""What is altered."""
SETTINGS = settings(
    deadline=None, database=None, derandomize=False, suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    phases=[Phase.generate, Phase.shrink],
)  # fmt: skip


class HangError(BaseException):
    """An example over the deadline; no reader catches it."""


@contextmanager
def deadline() -> Iterator[None]:
    """Raise HangError where what is inside takes too long."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise HangError(f"over {DEADLINE} s: {''.join(traceback.format_stack(frame, 4))}")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(DEADLINE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fuzz(name: str, kind: str, seed: int, folder: Path) -> int:
    """Read some altered files of a format; return how many. Raises what is at fault, with the smallest example."""
    copy = copied(name, folder)
    target = folder / {"fields": "x.json", "parts": "x.spacy"}.get(kind, "")
    examples = 0

    @seeded(seed)
    @settings(SETTINGS, max_examples=AT_ONCE.get(name, MANY))
    @given(st.data())
    def run(data: st.DataObject) -> None:
        nonlocal examples
        examples += 1
        if kind in {"fields", "parts"}:
            path = file = target
            content = fields(name, data.draw) if kind == "fields" else docbin(data.draw)
        else:
            path, file = copy.path, data.draw(st.sampled_from(list(copy.contents)))
            content = (some_bytes if kind == "bytes" else some_lines)(copy.contents[file], data.draw)
        file.write_bytes(content)
        try:
            with deadline():
                read_or_refuse(path, name, folder / "out.json")
        finally:
            if file in copy.contents:
                file.write_bytes(copy.contents[file])

    run()
    return examples


@click.command()
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(minutes: float, seed: int) -> None:
    """Go through the formats again and again; exit code 1 where one failed."""
    logging.disable(logging.ERROR)  # the datasets library says in its own words what it cannot read
    started, examples, faults = time.monotonic(), Counter[str](), Counter[str]()
    turns = ((name, kind, seed + number) for number in count() for name, kinds in KINDS.items() for kind in kinds)
    for name, kind, number in turns:
        if time.monotonic() - started > 60 * minutes:
            break
        with tempfile.TemporaryDirectory() as folder:
            try:
                examples[name] += fuzz(name, kind, number, Path(folder))
            except (Exception, HangError) as error:
                faults[name] += 1
                where = "".join(traceback.format_tb(error.__traceback__)[-6:])
                notes = "\n".join(getattr(error, "__notes__", []))
                said = f"{type(error).__name__}: {str(error)[:1000]}\n{where}{notes[:3000]}"
                click.echo(f"{name}, {kind}, seed {number}: {said.replace(folder, '')}\n", err=True)
    seconds = round(time.monotonic() - started)
    click.echo(json.dumps({"examples": dict(examples), "seconds": seconds, "faults": dict(faults)}))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
