"""The service on one machine: uvicorn on a socket that is bound first, and signals."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from prometheus_client import start_http_server

from tablert_dist.config import Config, ServeConfig
from tablert_dist.errors import InputError
from tablert_dist.serve.access import check_exposure, token_of
from tablert_dist.serve.app import make_app
from tablert_dist.serve.body import BODY_SECONDS
from tablert_dist.serve.connections import ANSWER_SECONDS, Connections, room_for, throttled
from tablert_dist.serve.service import Service

DRAIN_SECONDS = 30
"""How long requests in flight may take after SIGTERM."""
GIVE_UP_SECONDS = 20
"""After so many of them whoever still waits gets 503: a retry elsewhere is better than a cut connection."""
_KEEP_ALIVE_SECONDS = 30
_LISTEN = 2048
"""Connections that the system keeps for us until they are accepted."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ours are set below: uvicorn's would end a drained process by the signal instead of with exit code 0."""
        yield


def serve(bundle: Path, config: Config, echo: Callable[[str], None], batching: bool = True) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads the bundle. Raises InputError where it cannot start."""
    check_exposure(config.serve, token_of(config.serve))
    listener = bind(config.serve)
    with listener, throttled():
        asyncio.run(_serve(bundle, config, echo, batching, listener))


def bind(config: ServeConfig) -> socket.socket:
    """The socket, so that the port is known and ours before anything is loaded. Raises InputError where it is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        # With the protocol: asyncio sets TCP_NODELAY on no other socket, and an answer's body would wait 40 ms for an ACK.
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(f"serve.host = {config.host} is no address of this machine ({error.strerror})") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise InputError(
            f"serve.port = {config.port} cannot be had on {config.host} ({error.strerror}); choose another, or 0 for a "
            "free one: --set serve.port=0"
        ) from None
    return listener


def url_of(host: str, port: int) -> str:
    """The address to print."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _serve(
    bundle: Path, config: Config, echo: Callable[[str], None], batching: bool, listener: socket.socket
) -> None:
    app = make_app(bundle, config, batching)
    service: Service = app.state.service
    _open_metrics(config.serve, service)
    ours = config.serve
    most, backlog = room_for(ours.connections)
    connections = Connections(most, ours.head_seconds, BODY_SECONDS + ours.deadline_seconds + ANSWER_SECONDS)
    settings = uvicorn.Config(
        app, log_config=None, log_level="warning", access_log=False, lifespan="on", backlog=backlog,
        server_header=False, timeout_keep_alive=_KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=DRAIN_SECONDS,
    )  # fmt: skip
    settings.load()
    settings.http_protocol_class = connections.guard(settings.http_protocol_class)
    server = _Server(settings)
    _handle_signals(server, service)
    sweeping = asyncio.create_task(connections.keep_sweeping())
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not running.done():
            await asyncio.sleep(0.01)
        listener.listen(_LISTEN)  # asyncio has set it to what it accepts in one go
        if service.loading:
            await service.loading
        if not server.should_exit:
            echo(f"serving {url_of(config.serve.host, listener.getsockname()[1])}")
    except BaseException:
        server.should_exit = True
        raise
    finally:
        await running
        sweeping.cancel()


def _open_metrics(config: ServeConfig, service: Service) -> None:
    """Metrics on a port of their own. Raises InputError where it is taken."""
    if config.metrics_port:
        try:
            start_http_server(config.metrics_port, config.host, service.metrics.registry)
        except OSError as error:
            raise InputError(
                f"serve.metrics_port = {config.metrics_port} cannot be had ({error.strerror}); choose another"
            ) from None


def _handle_signals(server: uvicorn.Server, service: Service) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        # A second signal does not wait for the requests in flight.
        server.force_exit = server.should_exit
        server.should_exit = service.draining = True
        loop.call_later(GIVE_UP_SECONDS, service.given_up.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, service.reload_soon)
