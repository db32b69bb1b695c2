"""`tablert ui`: MLflow's page, opened at the runs."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import click

from tablert_dist.cli.common import plain_errors, set_option, set_up_logging, verb

if TYPE_CHECKING:
    from tablert_dist.config import Config

HOST = "127.0.0.1"


@verb("Show the runs in MLflow's page.", "tablert ui", "tablert ui --port 5001 --set train.storage=runs")
@click.option("--port", default=5000, show_default=True, type=click.IntRange(1, 65535), help="Port on this machine.")
@plain_errors
@set_option
def command(config: Config, port: int) -> None:
    """Serve the store beside the runs on loopback until Ctrl-C; where tracking.uri is a server, only say where it is."""
    set_up_logging()
    from tablert_dist.errors import InputError
    from tablert_dist.runs.location import tracking_uri
    from tablert_dist.tracking import experiment_page, redact

    uri = tracking_uri(config)
    if uri.startswith(("http://", "https://")):
        click.echo(f"runs: {redact(uri).rstrip('/')}/{experiment_page(uri, config.tracking.experiment)}")
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise InputError(
                f"port {port} is taken on this machine; give another: tablert ui --port {port + 1}"
            ) from None
    page = experiment_page(uri, config.tracking.experiment)
    click.echo(f"runs: http://{HOST}:{port}/{page}   (Ctrl-C ends)")
    # One worker: four, MLflow's default, need gigabytes and seconds each for one person who looks.
    words = ["server", "--backend-store-uri", uri, "--host", HOST, "--port", str(port), "--workers", "1"]
    sys.exit(subprocess.call([sys.executable, "-m", "mlflow", *words]))
