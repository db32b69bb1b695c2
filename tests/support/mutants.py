"""Alter the modules of mutants.toml, one place at a time, and see whether their tests notice (docs/guides/reliability.md).

make mutants [MUTANTS=40 | all] [MODULE=tablert_dist/scoring.py]

The last line is JSON: by module what was killed, timed out and survived, and the share killed.
Above it stands every survivor. Exit code 1 where a module's share is below --least.

mutmut alters, calls and judges. A copy of the sources for each module has its altered functions side by side; the process that
has imported torch once is forked for each alteration, and runs the tests that call the function, fast ones first, to the first
failure. mutmut leaves decorated functions alone (properties, caches), and what is computed on import.
"""

from __future__ import annotations

import difflib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from configparser import ConfigParser
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from mutmut.configuration import reset_config
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import get_mutant_name

from tests.support import ROOT

TABLE = Path(__file__).with_suffix(".toml")
SHARED = (
    "tablert_dist",
    "export",
    "tune_spaces",
    "tests",
    "pyproject.toml",
    "Makefile",
    "constraints.txt",
    "README.md",
)
"""What the tests see of the project."""
NOTICED = {
    "killed": "killed",
    "check was interrupted by user": "killed",
    "timeout": "timed_out",
    "segfault": "timed_out",
}
"""mutmut's words for ours; it takes a file of tests that cannot be collected for an interruption. Else: survived."""
UNUSED = ("cacheprovider", "unraisableexception", "threadexception", "junitxml", "doctest", "faulthandler", "pastebin")
"""Of pytest's plugins: a mutant that is killed at once costs little else than pytest's start."""
ORIGINAL = "__mutmut_orig"
KEYS = {"function", "was", "becomes"}
"""What an entry of the table may say of a mutant."""


@dataclass(frozen=True)
class Mutant:
    """One altered place: the lines as they are and as they become, stripped and joined."""

    name: str
    function: str
    was: str
    becomes: str

    def __str__(self) -> str:
        return f"{self.function}:\n  - {self.was}\n  + {self.becomes}"


def write_room(room: Path, module: str, tests: Sequence[str]) -> None:
    """A folder in which mutmut alters this module alone."""
    for name in SHARED:
        (room / name).symlink_to(ROOT / name)
    lists = {
        "source_paths": ["tablert_dist", "export", "tune_spaces"],
        "only_mutate": [module],
        "do_not_mutate_patterns": [r"\b(log\.\w+|waiting)\("],  # nobody relies on the words of a log
        "also_copy": [name for name in SHARED if name.endswith((".txt", ".md")) or name == "Makefile"],
        "pytest_add_cli_args": ["-W", "ignore", *(f"-pno:{name}" for name in UNUSED)],
        "pytest_add_cli_args_test_selection": tests,
    }
    config = ConfigParser(interpolation=None)
    config["mutmut"] = {key: "\n" + "\n".join(values) for key, values in lists.items()}
    config["mutmut"].update({"timeout_multiplier": "8", "timeout_constant": "6", "use_git_change_detection": "false"})
    with (room / "setup.cfg").open("w", encoding="utf-8") as file:
        config.write(file)


def mutants_of(room: Path, module: str) -> list[Mutant]:
    """Every mutant of a module, in mutmut's order."""
    with chdir(room):
        reset_config()
        altered = mutate_file_contents(module, (ROOT / module).read_text(encoding="utf-8"))
    lines, spans = altered.code.splitlines(), altered.line_span_by_function_name

    def body(name: str) -> list[str]:
        span = spans[name]
        return [line.strip() for line in lines[span.start - 1 : span.end] if "__mutmut_" not in line]

    found = []
    for name in altered.mutant_names:
        function = name.rpartition("__mutmut_")[0]
        changes = list(difflib.ndiff(body(function + ORIGINAL), body(name)))
        was, becomes = (" ".join(line[2:] for line in changes if line[0] == sign) for sign in "-+")
        plain = function.removeprefix("x").strip("ǁ_").replace("ǁ", ".")
        found.append(Mutant(get_mutant_name(Path(module), name), plain, was, becomes))
    return found


def plain(line: str) -> str:
    """Without `strict=True` of `zip`, which lint asks for: of lists that are equally long by construction it refuses none."""
    return re.sub(r", (strict=\w+)?(?=\))", "", line)


def left_out(mutants: Sequence[Mutant], entries: Sequence[Mapping[str, str]]) -> set[str]:
    """The names of those that nothing can notice, by the table's entries: one mutant, or all of a `function`.

    Raises ClickException for an entry that fits no mutant any more, and for one without a reason.
    """
    found: set[str] = set()
    for entry in entries:
        fits = {m.name for m in mutants if all(getattr(m, key) == entry[key] for key in KEYS & entry.keys())}
        if not fits or not entry["reason"].strip() or not KEYS & entry.keys():
            raise click.ClickException(
                f"{TABLE.name}: it fits no mutant, or has no reason; correct or remove it: {dict(entry)}"
            )
        found |= fits
    return found


def judge(room: Path, module: str, chosen: Sequence[Mutant], children: int) -> dict[str, str]:
    """Killed, timed_out or survived, by the mutants' names."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.setdefault("TABLERT_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    command = [str(Path(sys.executable).parent / "mutmut"), "run", "--max-children", str(children)]
    with (room / "log.txt").open("w", encoding="utf-8") as log:
        done = subprocess.run(
            [*command, *(m.name for m in chosen)], cwd=room, env=environment, stdout=log, stderr=log, check=False
        )
    if done.returncode:
        end = (room / "log.txt").read_text(encoding="utf-8")[-3000:]
        raise click.ClickException(f"mutmut ended with {done.returncode} for {module}:\n{end}")
    codes = json.loads((room / "mutants" / f"{module}.meta").read_text(encoding="utf-8"))["exit_code_by_key"]
    return {m.name: NOTICED.get(status_by_exit_code[codes[m.name]], "survived") for m in chosen}


def tried(module: str, table: Mapping[str, Any], count: int | None, seed: int, children: int) -> dict[str, Any]:
    """Try a module's mutants, or `count` of them. Print the survivors; return the counts that the last line has."""
    equivalents = [e for e in table.get("equivalent", []) if e["module"] == module]
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        write_room(room, module, table["modules"][module])
        mutants = mutants_of(room, module)
        equivalent = left_out(mutants, equivalents) | {m.name for m in mutants if plain(m.was) == plain(m.becomes)}
        chosen = [m for m in mutants if m.name not in equivalent]
        if count is not None and count < len(chosen):
            chosen = random.Random(f"{seed} {module}").sample(chosen, count)
        found = judge(room, module, chosen, children) if chosen else {}
    for mutant in chosen:
        if found[mutant.name] != "killed":
            click.echo(f"{module}, {found[mutant.name]}, {mutant}")
    counts = {end: list(found.values()).count(end) for end in ("killed", "timed_out", "survived")}
    share = counts["killed"] / max(1, len(chosen))
    return {
        "mutants": len(mutants),
        "left_out": len(equivalent),
        "tried": len(chosen),
        **counts,
        "share": round(share, 3),
    }


@click.command()
@click.option("--count", default="40", show_default=True, help="Mutants of each module, drawn by the seed; or: all.")
@click.option("--seed", default=1, show_default=True)
@click.option("--least", default=0.9, show_default=True, help="Share of each module's mutants that must be killed.")
@click.option("--children", default=2, show_default=True, help="Processes at once.")
@click.option("--module", "only", multiple=True, help="Only this file of mutants.toml; may be given several times.")
def main(count: str, seed: int, least: float, children: int, only: tuple[str, ...]) -> None:
    """Try the modules one after the other."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    if count != "all" and not count.isdigit():
        raise click.ClickException(f"--count is a number or 'all', not '{count}'")
    if unknown := {*only, *(e["module"] for e in table.get("equivalent", []))} - table["modules"].keys():
        raise click.ClickException(f"{TABLE.name} has no module {', '.join(sorted(unknown))}")
    results = {}
    for module in only or table["modules"]:
        results[module] = tried(module, table, None if count == "all" else int(count), seed, children)
        click.echo(f"{module}: {results[module]}", err=True)
    click.echo(json.dumps({"seed": seed, "count": count, "modules": results}))
    sys.exit(any(result["share"] < least for result in results.values()))


if __name__ == "__main__":
    main()
