"""The journal of one run: JSON lines with fixed times, appended by any process in turn, each fact written once."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

FILE = "journal.jsonl"
ENDED = ("FINISHED", "FAILED", "KILLED")
MAX_PARAM = 6000
"""Characters in a parameter's value (MLflow's limit)."""
MAX_TAG = 8000
"""Characters in a tag's value (MLflow's limit)."""
MAX_DIGEST = 36
"""Characters in the digest of a data set (MLflow's limit)."""
MAX_NAME = 250
"""Characters in the name of a metric, a parameter or a tag (MLflow's limit)."""

Event = dict[str, Any]


@contextmanager
def file_lock(fd: int, *, wait: bool) -> Iterator[bool]:
    """Hold the advisory lock of an open file; yields False where `wait` is off and another process holds it.

    The system drops the lock of a killed process, so that a lock is never left behind.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        yield False
        return
    except OSError:
        # Some network file systems have no locks; one writer at a time, the usual case, is safe without.
        yield True
        return
    try:
        yield True
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)


def read_events(folder: Path, start: int = 0) -> Iterator[tuple[Event | None, int]]:
    """Each complete line after byte `start` with the byte where it ends; None for a line that is no event.

    A last line without its line end is not there yet: its writer is at work or was killed.
    """
    if not (folder / FILE).exists():
        return
    with (folder / FILE).open("rb") as file:
        file.seek(start)
        end = start
        for line in file:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield _parse(line), end


def _parse(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "kind" in event and "time" in event else None


def read_uid(folder: Path) -> str | None:
    """The uid of the run whose journal is in `folder`; None where there is no journal."""
    start = read_start(folder)
    return None if start is None else str(start["uid"])


def read_start(folder: Path) -> Event | None:
    """The event that began the run; None where there is no journal."""
    return next((event for event, _ in read_events(folder) if event and event["kind"] == "start"), None)


class Journal:
    """Appends to the journal in `folder` (made if missing) what is not in it yet. Safe to use from several threads.

    Every method raises OSError where the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.start: Event | None = None
        self.uri: str | None = None
        self.status = "RUNNING"
        self._metrics: set[tuple[str, int]] = set()
        self._params: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._datasets: set[tuple[str, str, str]] = set()
        self._read = 0
        self._thread_lock = threading.Lock()
        self._renamed: set[str] = set()
        with self._writing():
            pass

    def begin(self, *, uri: str, experiment: str, name: str, parent: str | None) -> str:
        """Write the start event if there is none, and the uri if it is another one; returns the run's uid."""
        with self._writing() as write:
            if self.start is None:
                names = {"uid": uuid.uuid4().hex, "experiment": experiment, "name": name, "parent": parent}
                write({"kind": "start", **names, "uri": uri})
            elif uri != self.uri:
                write({"kind": "target", "uri": uri})
            assert self.start is not None
            return str(self.start["uid"])

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Write the values that this step has none of yet. A run that had ended runs again."""
        named = {self._name(key): float(value) for key, value in values.items()}
        with self._writing() as write:
            fresh = {key: value for key, value in named.items() if (key, int(step)) not in self._metrics}
            if fresh and self.status in ENDED:
                write({"kind": "status", "status": "RUNNING"})
            if fresh:
                write({"kind": "metrics", "step": int(step), "values": fresh})

    def params(self, values: Mapping[str, Any]) -> None:
        """Write the parameters that have no value yet: MLflow lets no value be changed."""
        named = {self._name(key): self._cut(key, value, MAX_PARAM) for key, value in _flat(values)}
        with self._writing() as write:
            for key, value in named.items():
                if self._params.get(key, value) != value:
                    logger.warning("The parameter %s of the run in %s keeps its first value.", key, self.folder)
            fresh = {key: value for key, value in named.items() if key not in self._params}
            if fresh:
                write({"kind": "params", "values": fresh})

    def tags(self, values: Mapping[str, Any]) -> None:
        """Write the tags whose value is a new one."""
        named = {self._name(key): self._cut(key, value, MAX_TAG) for key, value in values.items()}
        with self._writing() as write:
            fresh = {key: value for key, value in named.items() if self._tags.get(key) != value}
            if fresh:
                write({"kind": "tags", "values": fresh})

    def artifact(self, path: Path, folder: str) -> None:
        """Write that this file, or this directory's content, belongs in the run's artifact `folder`."""
        with self._writing() as write:
            write({"kind": "artifact", "path": str(path.absolute()), "folder": folder})

    def dataset(self, name: str, digest: str, context: str, profile: Mapping[str, Any]) -> None:
        """Write that the run read this data set, unless that is written."""
        with self._writing() as write:
            if (name, digest[:MAX_DIGEST], context) not in self._datasets:
                facts = {"name": name, "digest": digest[:MAX_DIGEST], "context": context, "profile": dict(profile)}
                write({"kind": "dataset", **facts})

    def end(self, status: str) -> None:
        """Write the run's last status, unless it has it."""
        with self._writing() as write:
            if self.status != status:
                write({"kind": "status", "status": status})

    @contextmanager
    def _writing(self) -> Iterator[Callable[[Event], None]]:
        """Alone with the journal, and aware of what other processes wrote: only so is nothing written twice."""
        with self._thread_lock, (self.folder / FILE).open("ab") as file, file_lock(file.fileno(), wait=True):
            for event, end in read_events(self.folder, self._read):
                self._read = end
                self._note(event)
            torn = os.fstat(file.fileno()).st_size > self._read

            def write(event: Event) -> None:
                nonlocal torn
                event = {"time": time.time_ns() // 1_000_000, **event}
                line = json.dumps(event, ensure_ascii=False).encode() + b"\n"
                # What a killed process left is made unreadable: it may be whole but for its line end, and would
                # otherwise count beside the one that its successor writes.
                file.write(b" torn\n" + line if torn else line)
                file.flush()
                self._read = os.fstat(file.fileno()).st_size
                torn = False
                self._note(event)

            yield write

    def _note(self, event: Event | None) -> None:
        match event:
            case {"kind": "start", "uri": uri} if self.start is None:
                self.start, self.uri = event, uri
            case {"kind": "target", "uri": uri}:
                self.uri = uri
            case {"kind": "metrics", "step": step, "values": values}:
                self._metrics.update((key, step) for key in values)
            case {"kind": "params", "values": values}:
                self._params.update(values)
            case {"kind": "tags", "values": values}:
                self._tags.update(values)
            case {"kind": "dataset", "name": name, "digest": digest, "context": context}:
                self._datasets.add((name, digest, context))
            case {"kind": "status", "status": status}:
                self.status = status

    def _name(self, key: str) -> str:
        """The name as MLflow takes it: letters, digits and `_-./: `, and no path that means another."""
        name = "/".join(part for part in re.sub(r"[^\w.\- :/]", "_", key).split("/") if part.strip("."))
        name = name[:MAX_NAME] or "_"
        if name != key and key not in self._renamed:
            self._renamed.add(key)
            logger.warning("MLflow does not take the name '%s'; it is logged as '%s'.", key, name)
        return name

    def _cut(self, key: str, value: Any, limit: int) -> str:
        text = str(value)
        if len(text) > limit:
            logger.warning("The value of %s is cut to the %d characters that MLflow takes.", key, limit)
        return text[:limit]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
