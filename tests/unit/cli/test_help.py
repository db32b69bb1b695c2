"""Every verb's help: -h, an example, and no example with an option that is not there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from export.cli import main as tablert_export
from tablert_dist.cli import main

RUNNER = CliRunner()
PROGRAMS = {"tablert": main, "tablert-export": tablert_export}


def walk(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command, **command.context_settings)):
            inner = command.get_command(click.Context(command), name)
            assert inner is not None
            yield from walk(inner, (*words, name))


ALL = {words: command for name, program in PROGRAMS.items() for words, command in walk(program, (name,))}


def examples(text: str) -> list[str]:
    """The lines below `Example:` or `Examples:`."""
    _, _, below = re.split(r"^\s*(Examples?):$", text, maxsplit=1, flags=re.MULTILINE)
    return [line.strip() for line in below.strip().splitlines()]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_is_short_and_long_and_ends_with_real_examples(words: tuple[str, ...]) -> None:
    program = PROGRAMS[words[0]]
    short, long = (RUNNER.invoke(program, [*words[1:], flag]) for flag in ("-h", "--help"))
    assert short.exit_code == long.exit_code == 0 and short.output == long.output
    # Alone, as `python -m tablert_dist.train` runs it.
    assert RUNNER.invoke(ALL[words], ["-h"]).exit_code == 0
    lines = examples(short.output)
    assert 1 <= len(lines) <= 4
    for line in lines:
        check(line, words)


def check(line: str, words: tuple[str, ...]) -> None:
    """The example's verb is this one, or one below a group, and it has these options and arguments."""
    typed = re.search(r"tablert(-export)?\b.*", line.replace('eval "$(', "").replace(')"', ""))
    assert typed, line
    parts = shlex.split(re.split(r" [>|] ", typed[0])[0])
    verb: tuple[str, ...] = ()
    while parts and (*verb, parts[0]) in ALL:
        verb = (*verb, parts.pop(0))
    assert verb[: len(words)] == words, line
    command = ALL[verb]
    known = {flag: param for param in command.params for flag in (*param.opts, *param.secondary_opts)}
    known.update(dict.fromkeys(["-h", "--help"]))  # type: ignore[arg-type]
    hidden = {flag for flag, param in known.items() if getattr(param, "hidden", False)}
    used = [part for part in parts if part.startswith("-")]
    assert set(used) <= set(known) - hidden, line
    if "--help" not in used:
        # Click itself reads the words: missing values, unknown choices and too many arguments are errors.
        command.make_context(verb[-1], [*parts])


def test_the_old_names_of_options_work_and_are_not_shown() -> None:
    for words, old in (
        (("tablert", "predict"), "--bundle"),
        (("tablert", "serve"), "--bundle"),
        (("tablert-export",), "--run"),
        (("tablert-export",), "--checkpoint"),
    ):
        told = RUNNER.invoke(PROGRAMS[words[0]], [*words[1:], "--help"]).output
        assert old not in told.split("Examples:")[0] and "--model" in told
        assert old in {flag for param in ALL[words].params for flag in param.opts}
