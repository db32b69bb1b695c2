"""`tablert serve`: a bundle behind HTTP, on this machine or as Ray Serve replicas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tablert_dist.cli.common import plain_errors, set_option, set_up_logging

if TYPE_CHECKING:
    from tablert_dist.config import Config


@click.command(help="Answer requests over HTTP: POST /v1/extract; the page is at /.")
@click.option("--bundle", required=True, type=click.Path(path_type=Path), help="A bundle, or a link to one.")
@click.option("--ray", "on_ray", is_flag=True, help="As Ray Serve replicas (needs the [serve] extra).")
@click.option("--batching/--no-batching", default=True, help="Without: one text at a time, to measure against.")
@plain_errors
@set_option
def command(config: Config, bundle: Path, on_ray: bool, batching: bool) -> None:
    """Serve until SIGTERM; a changed link or SIGHUP loads the bundle anew."""
    set_up_logging()
    from tablert_dist.errors import InputError

    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise InputError(f"the server needs {error.name}: pip install 'tablert-dist[serve]'") from None
    if on_ray:
        if not batching:
            raise InputError("--no-batching is for one machine; leave --ray out")
        from export.serve.on_ray import serve_on_ray

        serve_on_ray(bundle, config, click.echo)
    else:
        from export.serve.local import serve

        serve(bundle, config, click.echo, batching)
