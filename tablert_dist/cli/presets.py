"""`tablert presets [NAME]`: the shipped configurations, and one of them in full."""

from __future__ import annotations

import click

from tablert_dist.cli import complete
from tablert_dist.cli.common import plain_errors, verb


@verb(
    "List the shipped configurations, or print one in full as TOML, with the default of each key that it changes.",
    "tablert presets",
    "tablert presets conll04 > mine.toml",
)
@click.argument("name", required=False, shell_complete=complete.presets)
@plain_errors
def command(name: str | None) -> None:
    """One line a preset: name, what it is, encoder."""
    from tablert_dist.config import load_config, preset_names
    from tablert_dist.config.describe import as_toml
    from tablert_dist.config.load import preset_title

    if name is not None:
        config = load_config(name)
        click.echo(f"# tablert train --config {name}: {preset_title(name)}" if name in preset_names() else f"# {name}")
        click.echo(as_toml(config), nl=False)
        return
    rows = [(one, preset_title(one), load_config(one).model.encoder) for one in preset_names()]
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    for one, title, encoder in rows:
        click.echo(f"{one:<{widths[0]}}  {title:<{widths[1]}}  {encoder}")
