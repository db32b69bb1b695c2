"""A group of verbs, each imported only when it is called: `--help` stays quick."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class LazyGroup(click.Group):
    """`verbs` has each verb's line of help; its command lies in the module that `module` makes of its name."""

    def __init__(self, *args: Any, verbs: Mapping[str, str], module: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.verbs, self.module = verbs, module

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of `verbs`."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """As `click.Group.get_command`."""
        if cmd_name not in self.verbs:
            return None
        command = import_module(self.module.format(cmd_name)).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As `click.Group.resolve_command`; an unknown verb is refused with the nearest."""
        if args and args[0] not in self.verbs and not args[0].startswith("-") and not ctx.resilient_parsing:
            from tablert_dist.errors import nearest

            ctx.fail(f"there is no verb '{args[0]}'{nearest(args[0], self.verbs)}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """As `click.Group.shell_complete`, without importing a verb for its help."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=line) for name, line in self.verbs.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Without importing a verb for its first line."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(self.verbs.items()))
