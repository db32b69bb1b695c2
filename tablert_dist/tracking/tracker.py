"""The tracker that training writes to: every call returns at once, whatever MLflow does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from tablert_dist.errors import Stopped
from tablert_dist.storage.secrets import redact, without_login
from tablert_dist.tracking.journal import Journal
from tablert_dist.tracking.sender import Sender

logger = logging.getLogger(__name__)

Status = Literal["FINISHED", "FAILED", "KILLED"]
STOPPED_S = 4.0
"""Seconds to send what is left of a run that a signal has ended: who sent it kills what has not gone soon."""


class Tracker(Protocol):
    """Where one run's facts go. A context manager that closes with FINISHED, FAILED (an error) or KILLED (a signal)."""

    @property
    def uid(self) -> str | None:
        """The run's uid: what a child names as its parent; None where nothing is tracked."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log values of this step; a metric that has a value at this step, from any process, keeps it."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters as text, nested mappings as `outer.inner`; a parameter keeps its first value."""

    def tags(self, values: Mapping[str, Any]) -> None:
        """Set tags as text."""

    def dataset(self, name: str, digest: str, context: str, profile: Mapping[str, Any]) -> None:
        """Log a data set that the run reads: `context` is `training`, `validation` or `testing`, `profile` its sizes."""

    def artifact(self, path: Path, folder: str = "") -> None:
        """Upload a file into the artifact `folder`, or a directory's content; read when sent, so leave it in place."""

    def close(self, status: Status | None = None, timeout: float = 60.0) -> bool:
        """Send what is left for at most `timeout` seconds; returns whether all was sent.

        `status` None: this process stops writing and the run goes on elsewhere.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Closing:
    """`with`, by way of close()."""

    def close(self, status: Status | None = None, timeout: float = 60.0) -> bool:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close("FINISHED")
        else:
            asked = issubclass(kind, Stopped)
            killed = asked or not issubclass(kind, Exception)
            self.close("KILLED" if killed else "FAILED", STOPPED_S if asked else 60.0)


class NullTracker(_Closing):
    """Tracks nothing."""

    uid: str | None = None

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Nothing."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Nothing."""

    def tags(self, values: Mapping[str, Any]) -> None:
        """Nothing."""

    def dataset(self, name: str, digest: str, context: str, profile: Mapping[str, Any]) -> None:
        """Nothing."""

    def artifact(self, path: Path, folder: str = "") -> None:
        """Nothing."""

    def close(self, status: Status | None = None, timeout: float = 60.0) -> bool:
        """Nothing; True."""
        return True


class JournalTracker(_Closing):
    """Writes to a journal that a background thread sends. Methods raise OSError where the folder cannot be written."""

    def __init__(
        self, journal: Journal, uid: str, uri: str, sends: bool = True, publish: Callable[[], None] | None = None
    ) -> None:
        self._journal = journal
        self._uri = uri
        self._publish = publish
        self.uid: str | None = uid
        self._sender = Sender(journal.folder, uri, publish) if sends else None

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log values of this step. NaN stays NaN in MLflow; an infinity becomes the largest double there."""
        self._journal.metrics(values, step)
        self._wake()

    def params(self, values: Mapping[str, Any]) -> None:
        """See Tracker."""
        self._journal.params(values)
        self._wake()

    def tags(self, values: Mapping[str, Any]) -> None:
        """See Tracker."""
        self._journal.tags(values)
        self._wake()

    def dataset(self, name: str, digest: str, context: str, profile: Mapping[str, Any]) -> None:
        """See Tracker."""
        self._journal.dataset(name, digest, context, profile)
        self._wake()

    def artifact(self, path: Path, folder: str = "") -> None:
        """See Tracker. A path that is gone when its turn comes is a logged warning."""
        self._journal.artifact(path, folder)
        self._wake()

    def close(self, status: Status | None = None, timeout: float = 60.0) -> bool:
        """See Tracker. What is logged afterwards is kept in the journal and sent by the next call, or by `replay`."""
        if status is not None:
            self._journal.end(status)
        if self._sender is None:
            return True
        if not self._sender.alive:
            self._sender = Sender(self._journal.folder, self._uri, self._publish)
        sent = self._sender.finish(timeout)
        if not sent and status is not None:
            # Without a status another process continues the journal, and sends this too.
            if self._sender.refusal:
                text = "Nothing more of this run can be sent to MLflow at %s until that is put right; then: tablert sync %s"
            else:
                text = "Not everything of this run is in MLflow at %s yet; send the rest later with: tablert sync %s"
            logger.warning(text, redact(self._uri), self._journal.folder)
        return sent

    def _wake(self) -> None:
        if self._sender:
            self._sender.wake()


def begin_run(
    folder: Path,
    *,
    uri: str,
    experiment: str,
    name: str,
    parent: str | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    sends: bool = True,
    publish: Callable[[], None] | None = None,
) -> JournalTracker:
    """Begin the run whose journal is in `folder`, or go on with it where there is one; MLflow is not waited for.

    `parent` is the uid of a run in the same experiment; it may come to MLflow later than this one. Only one process
    should write to a folder at a time, though two do no harm. Without `sends` the journal is only written, and another
    process that sees the folder has to send it. `publish` copies the journal to where the next process finds it; it is
    called before anything new is sent. Raises OSError where the folder cannot be written.
    """
    journal = Journal(folder)
    uid = journal.begin(uri=without_login(uri), experiment=experiment, name=name, parent=parent)
    journal.params(params or {})
    journal.tags(tags or {})
    return JournalTracker(journal, uid, uri, sends, publish)
