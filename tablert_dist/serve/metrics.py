"""What `/metrics` says, and the ASGI layer that counts, times and catches whatever went wrong."""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, ProcessCollector, generate_latest

log = logging.getLogger(__name__)
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one server, in a registry of their own: two servers may live in one process."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tablert_requests", "Answers by path and status", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "tablert_request_seconds", "From the head of a request to the end of its answer", ["path"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.batch = Histogram(
            "tablert_batch_sentences", "Sentences, and windows of long ones, in one batch", buckets=SIZES,
            registry=self.registry,
        )  # fmt: skip
        self.texts = Counter("tablert_texts", "Texts read by the model", registry=self.registry)
        self.reloads = Counter("tablert_reloads", "Bundle reloads, by outcome", ["outcome"], registry=self.registry)
        queue = Gauge("tablert_queue_texts", "Texts of requests that are not answered yet", registry=self.registry)
        queue.set_function(waiting)
        ProcessCollector(registry=self.registry)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)

    def families(self) -> list[Metric]:
        """All metrics as they are now; they can be pickled."""
        return list(self.registry.collect())


class Summed:
    """The metrics of several servers as those of one: a registry's collector. Start times are left out."""

    def __init__(self, servers: Iterable[Sequence[Metric]]) -> None:
        self._servers = list(servers)

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client says."""
        families: dict[str, Metric] = {}
        sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
        for family in itertools.chain.from_iterable(self._servers):
            families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            counts = sums.setdefault(family.name, defaultdict(float))
            for sample in family.samples:
                if not sample.name.endswith(("_created", "start_time_seconds")):
                    counts[sample.name, tuple(sorted(sample.labels.items()))] += sample.value
        for name, family in families.items():
            for (sample_name, labels), value in sums[name].items():
                family.add_sample(sample_name, dict(labels), value)
            yield family

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)


class Watched:
    """ASGI middleware: counts and times each answer under the path's `label`; an exception becomes a logged 500 with one
    sentence."""

    def __init__(self, app: App, metrics: Metrics, label: Callable[[str], str]) -> None:
        self.app, self.metrics, self.label = app, metrics, label

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """As ASGI says."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched_send)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if status:
                raise
            await _send_500(watched_send)
        finally:
            path = self.label(scope["path"])
            self.metrics.requests.labels(path, str(status)).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - started)


async def _send_500(send: Send) -> None:
    body = json.dumps({"error": "the server failed on this request; its log says why"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
