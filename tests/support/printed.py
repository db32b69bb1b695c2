"""The commands that a verb prints before it runs them, as click reads them."""

from __future__ import annotations

import re
import shlex

import click

from export.cli import main as tablert_export
from tablert_dist.cli import main as tablert

PROGRAMS = {
    "tablert": tablert,
    "tablert_dist.cli": tablert,
    "tablert-export": tablert_export,
    "export.cli": tablert_export,
}


def printed_commands(output: str) -> list[str]:
    """`data convert`, `train`, `export`, … of each line with a `$`; click refuses what does not exist."""
    found = []
    for line in re.findall(r"^\[\d+/\d+\] \$ (.+)$", output, re.MULTILINE):
        words = shlex.split(line)
        while (program := words.pop(0).rpartition("/")[2]) not in PROGRAMS:
            pass
        command: click.Command = PROGRAMS[program]
        verbs = [] if isinstance(command, click.Group) else ["export"]
        while isinstance(command, click.Group):
            verbs.append(words.pop(0))
            inner = command.get_command(click.Context(command), verbs[-1])
            assert inner is not None, line
            command = inner
        command.make_context(verbs[-1], words)
        found.append(" ".join(verbs))
    return found
