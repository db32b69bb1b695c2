"""Command lines to paste: the script as this shell finds it, and paths from its current folder."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

MODULES = {"tablert": "tablert_dist.cli", "tablert-export": "export.cli"}


def paste(program: str, *words: str | Path) -> str:
    """Return a command line that works when it is pasted into the shell that this process was started from."""
    return f"{_called(program)} {shlex.join(str(w) for w in words)}"


def pasted(line: str) -> str:
    """Return a command line that begins with `tablert` as `paste` has it."""
    program, _, words = line.partition(" ")
    return f"{_called(program)} {words}"


def near(path: str | Path) -> str:
    """Return the path from the current folder where it lies below it, else as it is."""
    path = Path(path)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def free_name(name: str, run: str) -> str:
    """Return `name`, or where that is taken one with the run's name in it: the command that makes it must work."""
    return name if not Path(name).exists() else f"{name}-{run}"


def _called(program: str) -> str:
    """`tablert` where PATH has this environment's, else the script's path, else the module in this Python."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return program  # the job's machine and folder are not those of the shell that reads its log
    # Not resolved: an environment's python is a link to the one that it was made from.
    ours = [Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))]
    ours.append(Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))))
    on_path = shutil.which(program)
    if on_path and Path(on_path).parent.absolute() in [folder.absolute() for folder in ours]:
        return program
    script = next((folder / program for folder in ours if (folder / program).is_file()), None)
    if script:
        return _quoted(script)
    return f"{_quoted(Path(sys.executable))} -m {MODULES[program]}"


def _quoted(path: Path) -> str:
    """A script in the current folder itself needs its `./` to be found there."""
    shown = near(path.absolute())
    return shlex.quote(shown if "/" in shown else f"./{shown}")
