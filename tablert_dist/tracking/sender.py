"""Replays a journal to MLflow from a background thread, until every event is there exactly once."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from tablert_dist.errors import InputError
from tablert_dist.storage.atomic import write_text
from tablert_dist.storage.secrets import redact, without_login
from tablert_dist.tracking import journal, store
from tablert_dist.tracking.journal import Event
from tablert_dist.tracking.requests import groups_of, send

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

STATE_FILE = "journal.state.json"
LOCK_FILE = "journal.lock"
POLL_S = 1.0
MAX_DELAY_S = 10.0
MAX_RACES = 20
"""How often in a row another process may have been faster before that is said like any other error."""


@dataclass
class State:
    """How far the journal was sent, and to which run of which store."""

    uri: str
    run_id: str | None = None
    sent: int = 0
    nested: bool = False

    @classmethod
    def load(cls, folder: Path, uri: str) -> State:
        """What the file says; a new state where it is missing, unreadable or of another store."""
        try:
            state = cls(**json.loads((folder / STATE_FILE).read_text("utf-8")))
            size = (folder / journal.FILE).stat().st_size
        except (OSError, ValueError, TypeError):
            return cls(uri)
        # A journal shorter than what was sent lost its end with its machine: sending all again does no harm.
        return state if state.uri == uri and state.sent <= size else cls(uri)

    def save(self, folder: Path) -> None:
        """Write the file so that a kill leaves the old one or the new one."""
        write_text(folder / STATE_FILE, json.dumps(asdict(self)))


class Sender:
    """A daemon thread that sends what is in `folder`'s journal to `uri`, and what is appended later.

    `publish` copies the journal to where a successor on another machine finds it. It comes before the sending: what is
    sent but not in that copy, the successor would write again, with another time, and MLflow would have it twice.
    """

    def __init__(self, folder: Path, uri: str, publish: Callable[[], None] | None = None) -> None:
        self._folder = folder
        self._uri = uri
        self._publish = publish
        self._client: MlflowClient | None = None
        self._start: Event | None = None
        self._settled = -1  # size of the journal when all of it was sent
        self._down = False
        self.refusal: str | None = None
        """Why it is of no use to try again; None while it may be."""
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"tablert-sender-{folder.name}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that the journal has grown."""
        self._wake.set()

    def finish(self, timeout: float) -> bool:
        """Send what is left for at most `timeout` seconds, and stop; whether everything was sent."""
        self._closing.set()
        self._wake.set()
        self._thread.join(max(timeout, 0.0))
        self._given_up.set()
        return not self._thread.is_alive() and self._settled >= 0

    @property
    def alive(self) -> bool:
        """Whether it still takes events."""
        return self._thread.is_alive() and not self._closing.is_set()

    def _run(self) -> None:
        delay, races = 0.0, 0
        while not self._given_up.is_set():
            # Read before sending: what was appended before the call to finish() is then surely seen.
            closing = self._closing.is_set()
            complete = False
            try:
                complete = self._drain()
            except Exception as error:  # whatever is wrong with MLflow, training goes on
                if store.is_race(error) and races < MAX_RACES:
                    races += 1
                    continue
                delay = min(max(2 * delay, 0.5), MAX_DELAY_S)
                self._say_down(error)
            else:
                delay, races, self.refusal = 0.0, 0, None
            if closing:
                if complete or self.refusal:
                    return
                # Someone waits for this: do not sleep through a server that is back.
                self._given_up.wait(min(delay or 0.2, 2.0))
            elif delay:
                self._closing.wait(delay)
            else:
                self._wake.wait(POLL_S)
                self._wake.clear()

    def _say_down(self, error: Exception) -> None:
        reason = store.reason(error)
        self.refusal = reason if store.is_permanent(error) else None
        if not self._down:
            self._down = True
            if self.refusal:
                text = "MLflow at %s cannot be used: %s. Training goes on; %s keeps what is to be sent."
            else:
                text = "MLflow at %s cannot be used now (%s); nothing waits for it, and %s is sent when it can."
            logger.warning(text, redact(self._uri), reason, self._folder / journal.FILE)

    def _say_up(self) -> None:
        if self._down:
            self._down = False
            logger.warning("MLflow at %s can be used again.", redact(self._uri))

    def _drain(self) -> bool:
        """Send every complete line that was not sent; False where that must be tried again."""
        size = _size(self._folder)
        if size == self._settled:
            return True
        self._settled = -1
        with (self._folder / LOCK_FILE).open("ab") as file, journal.file_lock(file.fileno(), wait=False) as mine:
            if not mine:  # another process sends this journal just now
                return False
            state = State.load(self._folder, without_login(self._uri))
            groups: Iterator[tuple[list[Event], int]] = groups_of(self._folder, state.sent)
            first = next(groups, None)
            if first and self._publish:
                size = _size(self._folder)
                self._publish()
            complete = state.nested
            if first is not None or not state.nested:
                if self._client is None:
                    self._client = store.connect(self._uri)
                self._find_run(self._client, state)
                groups = chain([first] if first else [], groups)
                if self._publish:
                    groups = takewhile(lambda group: group[1] <= size, groups)
                complete = self._send_all(self._client, state, groups) and state.nested and state.sent >= size
                self._say_up()
            if complete:
                self._settled = size
            return complete

    def _send_all(self, client: MlflowClient, state: State, groups: Iterable[tuple[list[Event], int]]) -> bool:
        """Send the groups one after another; False where that was given up."""
        assert state.run_id is not None
        try:
            for events, end in groups:
                if self._given_up.is_set():
                    return False
                send(client, state.run_id, events)
                state.sent = end
                state.save(self._folder)
        except Exception as error:
            if store.code(error) == "RESOURCE_DOES_NOT_EXIST" and _is_gone(client, state.run_id):
                State(state.uri).save(self._folder)  # the store was emptied: begin the run again there
            raise
        return True

    def _find_run(self, client: MlflowClient, state: State) -> None:
        """Find or make the run, and put it under its parent once that is there."""
        if state.run_id is not None and state.nested:
            return
        start = self._start = self._start or journal.read_start(self._folder)
        if start is None:
            raise InputError(f"{self._folder / journal.FILE} has no start event")
        experiment = store.experiment_id(client, self._uri, start["experiment"])
        if state.run_id is None:
            run = store.find_run(client, start["uid"], [experiment])
            if run is None:
                tags = {store.UID_TAG: start["uid"]}
                run = client.create_run(experiment, start_time=start["time"], tags=tags, run_name=start["name"])
            state.run_id = run.info.run_id
        if not state.nested:
            parent = store.find_run(client, start["parent"], [experiment]) if start["parent"] else None
            if parent is not None:
                client.set_tag(state.run_id, store.PARENT_TAG, parent.info.run_id)
            state.nested = parent is not None or not start["parent"]
        state.save(self._folder)


def _size(folder: Path) -> int:
    return (folder / journal.FILE).stat().st_size


def _is_gone(client: MlflowClient, run_id: str) -> bool:
    try:
        client.get_run(run_id)
    except Exception as error:
        return store.code(error) == "RESOURCE_DOES_NOT_EXIST"
    return False


def replay(folder: Path, timeout: float = 60.0, uri: str | None = None) -> bool:
    """Send what `folder`'s journal holds and MLflow does not, for at most `timeout` seconds; whether all was sent.

    `uri` is the store to send to; default: the one in the journal, which has no password in it (MLflow reads
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD). Raises InputError where there is no journal, and where trying
    again is of no use.
    """
    if journal.read_start(folder) is None:
        raise InputError(f"{folder} has no {journal.FILE}: give the folder of a run")
    target = uri or journal.Journal(folder).uri
    assert target is not None
    sender = Sender(folder, target)
    sent = sender.finish(timeout)
    if sender.refusal and not sent:
        raise InputError(f"MLflow at {redact(target)} cannot be used: {sender.refusal}")
    return sent


def journals_of(folder: Path) -> list[Path]:
    """Folders with a journal in a run's folder: the run's own first, then its seeds', its trials' and theirs.

    In this order a parent is in MLflow before what names it. Raises InputError where there is none.
    """
    found = [path.parent for path in folder.rglob(journal.FILE) if journal.read_start(path.parent) is not None]
    if not found:
        raise InputError(f"{folder} has no {journal.FILE} in it: give the folder of a run")
    return sorted(found, key=lambda path: (len(path.parts), path))
