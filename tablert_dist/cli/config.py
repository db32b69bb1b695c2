"""`tablert config [KEY]`: every key of the configuration with its type, default and meaning."""

from __future__ import annotations

import json
import textwrap

import click

from tablert_dist.cli import complete
from tablert_dist.cli.common import plain_errors, verb


@verb(
    "Explain the configuration: every key, or those that KEY names (a key, its last part, or a section).",
    "tablert config",
    "tablert config model.cnn",
    "tablert config batch_size",
    "tablert config --json-schema > schema.json",
)
@click.argument("key", required=False, shell_complete=complete.key_names)
@click.option("--json-schema", is_flag=True, help="Print the whole tree as a JSON schema instead.")
@plain_errors
def command(key: str | None, json_schema: bool) -> None:
    """Print `key = default`, its type and range, and what it means."""
    from tablert_dist.errors import InputError

    if json_schema:
        from tablert_dist.config import Config

        if key:
            raise InputError("--json-schema prints the whole tree: leave KEY out")
        click.echo(json.dumps(Config.model_json_schema(), indent=1, ensure_ascii=False))
        return
    from tablert_dist.config.describe import about, all_keys, narrowed

    section = None
    for one in narrowed(key) if key else all_keys():
        where = one.name.rpartition(".")[0]
        if where != section:
            click.echo(("" if section is None else "\n") + f"[{where}]  {about(where)}")
            section = where
        click.echo(f"{one.name} = {one.default}  ({one.kind})")
        click.echo(textwrap.indent(textwrap.fill(one.meaning, 100, break_on_hyphens=False), "    "))
