"""The service as Ray Serve replicas: each is a process with its own model and queue behind Ray's proxy."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import Metric

from tablert_dist.config import Config, load_config, parse_assignment, with_overrides
from tablert_dist.errors import InputError, RunError
from tablert_dist.inference.constraining import from_anywhere
from tablert_dist.serve.access import check_exposure, token_of
from tablert_dist.serve.app import app_of
from tablert_dist.serve.local import bind, url_of
from tablert_dist.serve.metrics import Summed
from tablert_dist.serve.service import Service

NAME = "tablert"
TARGET_REQUESTS = 16
"""Requests in flight at one replica above which the autoscaler starts another."""
_ROOM_BEYOND_QUEUE = 64
DRAIN_SECONDS = 30.0
"""How long requests in flight may take after SIGTERM."""
_DRAIN_PAUSE_S = 0.5
_PROXY_PATIENCE_S = 5.0
"""Beyond a request's deadline, after which a replica has answered 504 itself."""
_METRICS_PATIENCE_S = 5.0
_PROXY = "SERVE_PROXY_ACTOR"
"""How the names of Ray Serve's proxies begin (2.60)."""
_QUIET = {"enable_access_log": False, "log_level": "WARNING"}


class _ReplicaService(Service):
    """A service that is one of several: its metrics are those of all of them."""

    async def metrics_page(self) -> bytes:
        from ray import serve

        # A request reaches any one of the replicas; one alone would count up and down.
        found = serve.get_app_handle(NAME).broadcast("metrics")
        return Summed(await asyncio.to_thread(found.results, timeout_s=_METRICS_PATIENCE_S)).page()


class Replica:
    """One process's service; Ray Serve calls the second method for the app that it runs."""

    def __init__(self, bundle: str, config: Config) -> None:
        # Loaded here and not in the background: a replica gets no requests before its constructor is through.
        self.service = _ReplicaService(Path(bundle), config)
        self.service.load()

    def __serve_build_asgi_app__(self) -> Any:
        return app_of(self.service)

    async def metrics(self) -> list[Metric]:
        """This replica's."""
        return self.service.metrics.families()

    async def drain(self) -> int:
        """Take no more requests, which get 503 with Retry-After; the texts that are not answered yet."""
        self.service.draining = True
        return len(self.service.batcher or ())


def application(args: Mapping[str, Any]) -> Any:
    """Builder for `import_path: tablert_dist.serve.ray_app:application`.

    `args` has `bundle`, a folder that every node sees, and optionally `set`, a list of KEY=VALUE.
    """
    unknown = sorted(set(args) - {"bundle", "set"})
    if unknown or not args.get("bundle"):
        raise InputError(
            f"args: expected bundle: FOLDER and optionally set: [KEY=VALUE, …], found {', '.join(args) or 'nothing'}"
        )
    assignments = args.get("set") or []
    config = load_config(None, dict(parse_assignment(str(text)) for text in assignments))
    # Ray's proxy listens where `http_options` says, which is not told here: on Kubernetes to every other pod.
    check_exposure(config.serve.model_copy(update={"host": "0.0.0.0"}), token_of(config.serve))
    return deployment(Path(args["bundle"]), config)


def deployment(bundle: Path, config: Config) -> Any:
    """The bound Ray Serve application. Raises InputError where replicas would reserve GPUs and not use them."""
    from ray import serve
    from ray.serve.config import AutoscalingConfig, BackpressureConfig

    ours, token = config.serve, token_of(config.serve)
    # The replicas may run where neither the file nor the variable is.
    config = with_overrides(config, {"serve.token": token})
    if ours.max_replicas < ours.replicas:
        raise InputError(f"serve.max_replicas = {ours.max_replicas} is below serve.replicas = {ours.replicas}")
    if ours.gpus_per_replica and config.predict.provider == "cpu":
        raise InputError(
            f"serve.gpus_per_replica = {ours.gpus_per_replica:g} would leave GPUs idle: predict.provider is cpu; "
            "add --set predict.provider=cuda"
        )
    # Replicas share a machine: one that took a thread for each core would slow the others.
    threads = config.predict.threads or 1
    rules = from_anywhere(config.predict).constraints
    config = with_overrides(config, {"predict.threads": threads, "predict.constraints": rules})
    made = serve.deployment(
        serve.ingress()(Replica),
        name=NAME,
        ray_actor_options={"num_cpus": threads, "num_gpus": ours.gpus_per_replica},
        # Ray's default of 5 would cap the batches. The replica's own queue is to be the one that says 503.
        max_ongoing_requests=ours.queue + _ROOM_BEYOND_QUEUE,
        max_queued_requests=ours.queue,
        backpressure_config=BackpressureConfig(status_code=503, retry_after_s=1),
        autoscaling_config=AutoscalingConfig(
            min_replicas=ours.replicas, max_replicas=ours.max_replicas, target_ongoing_requests=TARGET_REQUESTS
        ),
        health_check_period_s=2,
        health_check_timeout_s=10,
        graceful_shutdown_timeout_s=DRAIN_SECONDS,
        logging_config=_QUIET,
    )
    # Absolute, but a link stays a link: the replicas watch where it points.
    return made.bind(str(bundle.absolute()), config)


def serve_on_ray(bundle: Path, config: Config, echo: Callable[[str], None]) -> None:
    """Serve on a Ray cluster until SIGTERM or SIGINT, then take the application down.

    Raises InputError where the bundle or the port cannot be used, RunError where the replicas do not start.
    """
    from tablert_dist.cluster import connect
    from tablert_dist.inference.bundle import open_bundle
    from tablert_dist.inference.constraining import find_rules
    from tablert_dist.tags import TagSet

    opened = open_bundle(bundle)
    # Here, where it can be said in a sentence: a replica that does not start says little.
    find_rules(config.predict, opened.constraints, TagSet(opened.schema))
    check_exposure(config.serve, token_of(config.serve))
    # Bound and let go: Ray's proxy binds it in another process, and says nothing readable where it cannot.
    with bind(config.serve) as probe:
        port = probe.getsockname()[1]
    try:
        from ray import serve
    except ImportError as error:
        raise InputError(f"Ray Serve is not whole ({error}): pip install 'tablert-dist[serve]'") from None
    ray = connect(config, show_workers=False)
    ended = threading.Event()
    # After connecting: Ray sets a handler of its own, which would leave the application up.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        # A request that waits for a replica, or for a dead one's successor, is Ray's, not ours: it answers 408 then.
        patience = config.serve.deadline_seconds + _PROXY_PATIENCE_S
        options = {"host": config.serve.host, "port": port, "request_timeout_s": patience}
        serve.start(http_options=options, logging_config=_QUIET)
        try:
            serve.run(deployment(bundle, config), name=NAME, route_prefix="/", logging_config=_QUIET)
        except RuntimeError as error:
            raise RunError(f"the replicas did not start: {str(error).splitlines()[-1]}") from None
        echo(f"serving {url_of(config.serve.host, port)}")
        ended.wait()
        _drain(ray, serve)
    finally:
        serve.shutdown()
        ray.shutdown()


def _drain(ray: Any, serve: Any) -> None:
    """Let the replicas answer what they have and refuse the rest, then close the port: a proxy whose application is gone
    answers 404, which a client takes for its own mistake."""
    handle = serve.get_app_handle(NAME)
    until = time.monotonic() + DRAIN_SECONDS
    # Once more after the first: a request may have been on its way to a replica that did not know yet.
    waiting = [1]
    while any(waiting) and time.monotonic() < until:
        waiting = handle.broadcast("drain").results(timeout_s=DRAIN_SECONDS)
        time.sleep(_DRAIN_PAUSE_S)
    for actor in ray.util.list_named_actors(all_namespaces=True):
        if actor["name"].startswith(_PROXY):
            ray.kill(ray.get_actor(actor["name"], namespace=actor["namespace"]), no_restart=True)
