"""`tablert serve`: a bundle behind HTTP, on this machine or as Ray Serve replicas."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tablert_dist.cli.common import model_option, plain_errors, set_option, set_up_logging, verb

if TYPE_CHECKING:
    from tablert_dist.config import Config


@verb(
    "Answer requests over HTTP: POST /v1/extract; the page is at /.",
    "tablert serve --model bundle",
    "tablert serve --model models:/tablert@champion --set serve.port=9000",
)
@model_option(
    "--bundle",
    help="A bundle (folder, link to one, or .zip), a search's name or folder, a hub id OWNER/NAME, or "
    "models:/NAME@ALIAS, whose new versions are loaded when they appear.",
)
@click.option("--ray", "on_ray", is_flag=True, help="Serve with Ray Serve replicas.")
@click.option(
    "--batching/--no-batching",
    default=True,
    help="Disable to answer one text at a time, as a baseline for measurements.",
)
@click.option("--label-studio", is_flag=True, help="Also be an ML backend of Label Studio (serve.label_studio).")
@click.option("--insecure", is_flag=True, help="Let other machines in without a token (serve.insecure).")
@plain_errors
@set_option
def command(config: Config, model: str, on_ray: bool, batching: bool, label_studio: bool, insecure: bool) -> None:
    """Serve until SIGTERM; a changed link, alias, or SIGHUP reloads the bundle without dropping a request."""
    set_up_logging()
    from tablert_dist.waiting import waiting

    # Before anything slow: what is missing is said by `plain_errors`.
    with waiting("loading the server"):
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401

    from tablert_dist.config import with_overrides
    from tablert_dist.errors import InputError
    from tablert_dist.inference.named import REGISTERED, find_bundle

    if insecure:
        config = with_overrides(config, {"serve.insecure": True})
    if label_studio:
        config = with_overrides(config, {"serve.label_studio": True})
    if model.startswith(REGISTERED) and not Path(model).exists():
        _serve_registered(model, config, on_ray, batching)
        return
    bundle = find_bundle(model, config)
    if on_ray:
        if not batching:
            raise InputError("--no-batching is for one machine; leave --ray out")
        from tablert_dist.serve.ray_app import serve_on_ray

        serve_on_ray(bundle, config, click.echo)
    else:
        from tablert_dist.serve.local import serve

        serve(bundle, config, click.echo, batching)


def _serve_registered(model: str, config: Config, on_ray: bool, batching: bool) -> None:
    from tablert_dist.errors import InputError
    from tablert_dist.runs.location import tracking_uri
    from tablert_dist.serve.local import serve
    from tablert_dist.serve.registry import Followed

    if on_ray:
        raise InputError(
            f"--model {model} follows the registry on one machine; for --ray give a bundle, or a link to one, on shared "
            "storage"
        )
    uri = tracking_uri(config)
    with tempfile.TemporaryDirectory(prefix="tablert-serve-") as scratch:
        followed = Followed(uri, model, Path(scratch), config.serve.poll_seconds)
        serve(followed.start(), config, click.echo, batching)
        followed.stop()
