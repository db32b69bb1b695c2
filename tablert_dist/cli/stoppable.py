"""How a verb that a signal stops ends: its run is saved, the line that resumes it is printed, and the exit code says why."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from tablert_dist.train.stopping import StopSignals


@contextmanager
def stoppable() -> Iterator[StopSignals]:
    """Take SIGTERM and Ctrl-C, so that the run inside saves and ends; then say how to go on, and exit with 143, or 130."""
    from tablert_dist.cli.program import pasted
    from tablert_dist.errors import Stopped
    from tablert_dist.train.stopping import StopSignals

    with StopSignals() as stop:
        try:
            yield stop
        except Stopped as error:
            from tablert_dist.runs.resume import resume_command

            click.echo(f"stopped by {stop.by}: {error}", err=True)
            if error.record is not None:
                click.echo(f"resume with: {pasted(resume_command(error.record))}", err=True)
            _leave(128 + (stop.number or error.number))


def _leave(code: int) -> NoReturn:
    """Exit; where Ray runs, without waiting for its processes, which take up to half a minute on a busy machine.

    A cluster that this process started ends with it (the kernel sees to that), and another one frees what it has used.
    """
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        sys.exit(code)
    leaving = threading.Thread(target=ray.shutdown, daemon=True)
    leaving.start()
    leaving.join(2.0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
