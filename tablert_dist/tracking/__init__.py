"""Tracking with MLflow that training never waits for: a journal beside the run, sent by a background thread.

Killed, restarted or disconnected, in the end every event of the journal is in MLflow exactly once. Importing this
package does not import mlflow.
"""

from __future__ import annotations

from tablert_dist.storage.secrets import redact
from tablert_dist.tracking.journal import read_uid
from tablert_dist.tracking.registry import download, promote, register, version_of
from tablert_dist.tracking.sender import journals_of, replay
from tablert_dist.tracking.store import NOTE, default_uri, experiment_page
from tablert_dist.tracking.tracker import STOPPED_S, JournalTracker, NullTracker, Status, Tracker, begin_run

__all__ = [
    "NOTE",
    "STOPPED_S",
    "JournalTracker",
    "NullTracker",
    "Status",
    "Tracker",
    "begin_run",
    "default_uri",
    "download",
    "experiment_page",
    "journals_of",
    "promote",
    "read_uid",
    "redact",
    "register",
    "replay",
    "version_of",
]
