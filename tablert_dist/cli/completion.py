"""`tablert completion SHELL`: the script that makes a shell complete verbs, options, presets, keys and runs."""

from __future__ import annotations

import click

from tablert_dist.cli.common import plain_errors, verb


@verb(
    "Print the script that makes a shell complete verbs, options, presets, spaces, keys and runs.",
    'eval "$(tablert completion bash)"',
    'eval "$(tablert completion zsh)"',
    "tablert completion fish > ~/.config/fish/completions/tablert.fish",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@plain_errors
def command(shell: str) -> None:
    """Click's own script, for the command `tablert`."""
    from click.shell_completion import get_completion_class

    from tablert_dist.cli import main

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(main, {}, "tablert", "_TABLERT_COMPLETE").source())
