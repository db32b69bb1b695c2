"""The commands of a page's bash block, checked against the command line, the Makefile and the modules that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from tests.support.docs import Block, make_targets, make_variables

OTHERS = {".", "cd", "curl", "echo", "export", "git", "kill", "mlflow", "pip", "pre-commit", "ray"}
"""Programs of others; their words are not checked."""


class WrongCommandError(Exception):
    """A command of a page that does not work as printed."""


def commands(text: str) -> Iterator[list[str]]:
    """Yield the simple commands of a block as words: pipes and lists taken apart, redirections and variables left out."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        tokens = list(lexer)
        for i, token in enumerate(tokens):
            if token in {"|", "||", "&&", ";", "&"}:
                yield words
                words = []
            elif token not in {">", ">>", "<"} and (i == 0 or tokens[i - 1] not in {">", ">>", "<"}):
                words.append(token)
        yield words


def check_block(block: Block) -> None:
    """Check every command. Raises WrongCommandError with page, line and reason for one that does not exist as printed."""
    for words in commands(block.text):
        try:
            check(words, block.pending)
        except (WrongCommandError, click.ClickException, ValueError) as error:
            reason = error.format_message() if isinstance(error, click.ClickException) else error
            raise WrongCommandError(f"{block.where}: {' '.join(words)}: {reason}") from None


def check(words: Sequence[str], pending: frozenset[str] = frozenset()) -> None:
    """Check one command."""
    words = [word for i, word in enumerate(words) if i or not re.fullmatch(r"\w+=.*", word)]
    if not words:
        return
    program, *rest = words
    program = program.removeprefix(".venv/bin/").removeprefix(".venv-docs/bin/")
    if program == "tablert":
        _click(import_module("tablert_dist.cli").main, rest, pending)
    elif program == "tablert-export":
        _click(import_module("export.cli").main, rest, pending)
    elif program == "make":
        _make(rest, pending)
    elif program in {"python", "python3"} and rest[:1] == ["-m"]:
        _module(rest[1], rest[2:], pending)
    elif program in {"python", "python3"} and rest[:1] == ["-c"]:
        compile(rest[1], "-c", "exec")
    elif program not in OTHERS:
        raise WrongCommandError(f"'{program}' is no program of ours: name it in OTHERS if it is meant")
    if program == "ray" and "--" in rest:
        check(rest[rest.index("--") + 1 :], pending)


def _make(words: Sequence[str], pending: frozenset[str]) -> None:
    for word in words:
        name, equals, _ = word.partition("=")
        if equals and name not in make_variables() and f"variable {name}" not in pending:
            raise WrongCommandError(f"the Makefile has no variable {name}")
        if not equals and name not in make_targets():
            raise WrongCommandError(f"the Makefile has no target {name}")


def _module(name: str, words: Sequence[str], pending: frozenset[str]) -> None:
    if find_spec(name) is None:
        raise WrongCommandError(f"there is no module {name}")
    if name.startswith("bench"):
        _click(import_module(name if name != "bench" else "bench.__main__").main, words, pending)
    elif name.startswith("tablert_dist."):
        _click(import_module(f"{name}.__main__").command, words, pending)


def _click(command: click.Command, words: Sequence[str], pending: frozenset[str]) -> None:
    context = click.Context(command, **command.context_settings)
    if isinstance(command, click.Group):
        if words[0].startswith("-"):
            command.make_parser(context).parse_args(list(words))
            return
        if f"verb {words[0]}" in pending:
            return
        verb = command.get_command(context, words[0])
        if verb is None:
            raise WrongCommandError(f"there is no verb {words[0]}")
        later = {name.split()[-1] for name in pending if name.startswith(f"option {words[0]} ")}
        if not later & set(words):
            _click(verb, words[1:], pending)
        return
    _options(command, context, words, pending)


def _options(command: click.Command, context: click.Context, words: Sequence[str], pending: frozenset[str]) -> None:
    values, rest, _ = command.make_parser(context).parse_args(list(words))
    if rest:
        raise WrongCommandError(f"too many words: {rest}")
    for parameter in command.params:
        if parameter.name not in values or values[parameter.name] in (None, ()):
            if parameter.required:
                raise WrongCommandError(f"{parameter.opts[0]} is required")
        elif isinstance(parameter.type, click.Choice | click.IntRange | click.FloatRange):
            parameter.type_cast_value(context, values[parameter.name])
    _configuration(values, pending)


def _configuration(values: dict[str, Any], pending: frozenset[str]) -> None:
    """`--config` and `--space` name what is shipped or a file; `--set` fits the configuration tree."""
    from tablert_dist.config import Config, parse_assignment, preset_names, with_overrides
    from tablert_dist.tune.space import spaces

    with_overrides(Config(), dict(parse_assignment(text) for text in values.get("assignments") or ()))
    for key, known in (("config_name", preset_names()), ("space_name", spaces())):
        name = values.get(key)
        if name and not name.endswith(".toml") and name not in known and f"preset {name}" not in pending:
            raise WrongCommandError(f"'{name}' is neither shipped ({', '.join(known)}) nor a .toml file")
