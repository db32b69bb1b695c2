"""The model behind the service: loaded once, reloaded when its bundle changes, swapped between two batches."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tablert_dist.config import Config, PredictConfig
from tablert_dist.errors import InputError
from tablert_dist.inference.bundle import MANIFEST
from tablert_dist.inference.predictor import Predictor
from tablert_dist.serve.batcher import Batcher
from tablert_dist.serve.body import Held
from tablert_dist.serve.metrics import Metrics

log = logging.getLogger(__name__)
T = TypeVar("T")
WATCH_SECONDS = 1.0
HELD_BODIES = 16
"""So many bodies of the largest size may be in memory at once."""
_PROBE = "Ada works at Acme in Oslo ."


@dataclass(frozen=True)
class Model:
    """A loaded bundle."""

    folder: Path
    predictor: Predictor
    facts: dict[str, Any]
    """What `/v1/schema` answers."""

    @staticmethod
    def load(bundle: Path, config: PredictConfig) -> Model:
        """Open a bundle, its files checked, and read a sentence with it. Raises InputError where it cannot be used."""
        # A link may be turned to another bundle while we read.
        folder = bundle.resolve()
        if not folder.is_dir():
            raise InputError(f"there is no bundle at {bundle}; make one with tablert-export --onnx --out {bundle}")
        if not (folder / MANIFEST).is_file():
            raise InputError(f"{bundle} is no bundle: it has no {MANIFEST}; make one with tablert-export --onnx")
        predictor = Predictor.load(folder, config)
        predictor.predict([_PROBE])
        manifest = (folder / MANIFEST).read_bytes()
        tree = json.loads(manifest)
        named = ("format", "opset", "precision", "subword_limit", "versions")
        model = {"id": hashlib.sha256(manifest).hexdigest()[:12], **{key: tree[key] for key in named if key in tree}}
        return Model(folder, predictor, {**predictor.tags.schema.to_json(), "model": model})


class Service:
    """One process's model, queue and metrics. `start` and `stop` belong to the app's lifespan."""

    def __init__(self, bundle: Path, config: Config, batching: bool = True) -> None:
        self.bundle, self.config, self.batching = bundle, config, batching
        self.model: Model | None = None
        self.batcher: Batcher | None = None
        self.loading: asyncio.Task[None] | None = None
        """The first load, where `load` was not called before."""
        self.draining = False
        self.given_up = asyncio.Event()
        """Set when the requests in flight get no more time: the server is ending."""
        self.metrics = Metrics(lambda: len(self.batcher) if self.batcher else 0)
        self.held = Held(HELD_BODIES * config.serve.max_body)
        self._refused: Path | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._one_at_a_time = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()

    async def metrics_page(self) -> bytes:
        """What `/metrics` answers."""
        return self.metrics.page()

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""
        return self.model is not None and not self.draining

    def load(self) -> None:
        """Load the bundle. Raises InputError."""
        self.model = Model.load(self.bundle, self.config.predict)

    async def start(self) -> None:
        """Open the queue; load in the background; watch the bundle's link."""
        self.batcher = Batcher(self.config, self.batching, self.metrics.batch.observe)
        if self.model is None:
            self.loading = asyncio.create_task(asyncio.to_thread(self.load))
            self.loading.add_done_callback(_log_failure)
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Take no more requests and answer those that wait."""
        self.draining = True
        for task in (self._watcher, *self._reloads):
            if task:
                task.cancel()
        if self.batcher:
            await self.batcher.close()
        self._aside.shutdown(wait=False, cancel_futures=True)

    async def aside(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run what takes long in a thread beside the server's; one at a time, for it takes Python's time from the others."""
        return await asyncio.get_running_loop().run_in_executor(self._aside, work, *arguments)

    def reload_soon(self) -> None:
        """Reload the bundle in the background."""
        task = asyncio.get_running_loop().create_task(self.reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def reload(self) -> None:
        """Swap the model for what the bundle's path holds now; keep the old one where that cannot be used."""
        async with self._one_at_a_time:
            target = self.bundle.resolve()
            try:
                model = await asyncio.to_thread(Model.load, self.bundle, self.config.predict)
            except Exception as error:
                # Whatever is wrong with the new one, the old one still answers.
                self._refused = target
                self.metrics.reloads.labels("refused").inc()
                log.error("the new bundle is refused, the old one goes on: %s", error)
                return
            self._refused = None
            # The next batch takes it; the running one ends with the old.
            self.model = model
            self.metrics.reloads.labels("swapped").inc()
            log.info("now serving %s (model %s)", model.folder, model.facts["model"]["id"])

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                target = self.bundle.resolve()
            except (OSError, RuntimeError):
                continue
            if self.model and target not in (self.model.folder, self._refused):
                await self.reload()


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.debug("the bundle cannot be loaded: %s", error)
